"""Pages of an agency's machines."""
