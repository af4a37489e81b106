"""People, their devices and what they consented to."""
