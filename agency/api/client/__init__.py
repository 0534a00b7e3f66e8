"""The Python client of the REST API: one typed file, made from this installation's own OpenAPI document."""
