"""retune-worker: the program on an agency's own machine. It connects out only and runs the same work as here."""
