"""A client's own read-only pages."""
