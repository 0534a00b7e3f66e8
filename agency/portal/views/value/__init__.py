"""Pages of what the work is worth, and of what clients are charged."""
