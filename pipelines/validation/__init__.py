"""Judging new rows against each other, the rows that train already, and the evaluation sets."""
