"""Scripts of `make setup` and `make check`: standard library only, so that they run before anything is installed."""
