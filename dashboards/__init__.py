"""The live page, and what it is served with."""
