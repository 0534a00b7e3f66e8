"""The ground: who, whose, and what each client decided."""
