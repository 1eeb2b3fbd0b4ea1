"""What flows: records, topics, codec, errors and the shells that fill topics."""
