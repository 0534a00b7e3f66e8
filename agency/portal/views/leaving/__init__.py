"""Leaving: archives to take along, erasure, and the rows of one person."""
