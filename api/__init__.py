"""How results are read: the command line, later REST and WebSocket."""
