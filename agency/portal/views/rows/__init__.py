"""Pages of rows that wait for a person: the quarantine, the review queue, one row."""
