"""Pages of evaluation sets."""
