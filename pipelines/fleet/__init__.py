"""Hosts over time: looked at, measured, compared with what was placed on them."""
