"""What is done to a client as a whole."""
