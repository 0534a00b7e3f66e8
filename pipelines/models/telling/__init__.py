"""Rows of what people are told by other ways than mail."""
