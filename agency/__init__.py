"""The shell: everything a person or a machine touches."""
