"""Forms of settings that reach over several pipelines."""
