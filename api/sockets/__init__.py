"""Where clients connect: two adapters around one hub."""
