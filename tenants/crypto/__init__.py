"""Keys of the installation, derived from its secret key: what it signs, and what it seals."""
