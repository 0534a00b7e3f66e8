"""Pages of who is told by which ways."""
