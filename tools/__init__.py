"""Scripts of `make setup` and `make check`: they use the standard library only, so that they run before anything is installed."""
