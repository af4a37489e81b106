"""Which methodology is the official one for a trip's day and province."""
