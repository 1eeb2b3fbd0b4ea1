"""The shells that read venues into topics, and the pure parsers they use."""
