"""The rest of a fleet and of its year, as those that were played left theirs; and the pages at that size."""
