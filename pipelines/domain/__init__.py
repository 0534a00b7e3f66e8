"""Pure decisions: values in, a decision with its reason and numbers out. No database, clock, settings or randomness."""
