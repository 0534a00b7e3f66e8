"""The work: from a trigger to a model that serves, and back."""
