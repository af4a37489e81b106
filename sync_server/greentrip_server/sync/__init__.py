"""Intake of trip records: the trips, their bytes, and what was signed."""
