"""Jobs that only ask hosts."""
