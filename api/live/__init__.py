"""The WebSocket protocol without sockets: values in, values out."""
