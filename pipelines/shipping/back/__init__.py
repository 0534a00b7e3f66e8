"""The way back, walked for practice."""
