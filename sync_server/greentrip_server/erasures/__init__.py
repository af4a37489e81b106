"""What persons take back: single trips, before or after they come, and the whole account."""
