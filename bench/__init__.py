"""Measurements with targets: `make bench` runs all of them."""
