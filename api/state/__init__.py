"""What one serving process knows of the markets, built from topics; all of it pure."""
