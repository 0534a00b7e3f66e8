"""Pages of a client's hosts."""
