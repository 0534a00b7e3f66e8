"""What was trained elsewhere, before anything of it is built: does it fit the base, and how does it ask."""
