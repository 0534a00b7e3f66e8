"""Models that were trained elsewhere: brought by somebody as a file, or fetched from a service."""

from pipelines.actions.elsewhere.importing import import_model

__all__ = ["import_model"]
