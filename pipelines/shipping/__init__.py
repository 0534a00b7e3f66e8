"""What stages and people share: moving traffic to a version, and taking it back."""
