"""Probabilities that are learned online, for all markets of an interval at once."""
