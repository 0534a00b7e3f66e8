"""Machines of an agency that pull jobs: what they are offered, claim, fetch and hand in. The rows are those of jobs."""
