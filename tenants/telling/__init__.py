"""Who is told by which ways, as an agency and its people decided."""
