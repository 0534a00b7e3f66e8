"""What is stored over time: what is kept and why, and the cache before an object store."""
