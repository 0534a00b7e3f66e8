"""Writing an answer token by token: what comes next, what may come, what is guessed, what is computed at once."""
