"""Rollouts and the watch over them, as their pages show them."""
