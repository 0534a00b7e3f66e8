"""One person's rows: found wherever a client's tables and files have text, and erased from all of them."""
