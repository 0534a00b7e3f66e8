"""The seven stages, one file each: (run, given, now) -> Outcome."""
