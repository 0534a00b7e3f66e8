"""The REST API under /rest/v1/: for programs, with keys."""

from agency.api.site import api

__all__ = ["api"]
