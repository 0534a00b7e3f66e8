"""Who is told, and by which ways."""
