"""Real-time streaming analytics over chain events and market feeds."""
