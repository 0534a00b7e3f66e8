"""Applications that call hosts directly, by a name that moves."""
