"""Lines of log that say whose work they are about: as text, or as one JSON object each (`RETUNE_LOG_FORMAT=json`)."""

from __future__ import annotations

import logging
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS

from pipelines.engine.doing import facts

FORMATS = ("line", "json")


class Facts(logging.Filter):
    """Puts what is being done onto every record: as fields for JSON, as `about` for people."""

    def filter(self, record: logging.LogRecord) -> bool:
        found = facts()
        for name, value in found.items():
            setattr(record, name, value)
        record.about = "".join(f" {name}={value}" for name, value in found.items())
        return True


def logging_of(form: str, level: str) -> dict[str, Any]:
    """Django's LOGGING. `form` is one of FORMATS; a line per request or per message tells nothing, what fails does."""
    json = {
        "()": "pythonjsonlogger.json.JsonFormatter",
        "fmt": "{asctime}{levelname}{name}{message}{process}",
        "style": "{",
        "rename_fields": {"asctime": "at", "levelname": "level", "name": "logger"},
        "reserved_attrs": [*RESERVED_ATTRS, "about"],
    }
    line = {"format": "%(asctime)s %(levelname)s %(name)s %(message)s%(about)s"}
    handler = {"class": "logging.StreamHandler", "formatter": form, "filters": ["facts"]}
    quiet = {name: {"level": "WARNING"} for name in ("httpx2", "httpcore", "django-q")}
    own = {name: {"handlers": [], "propagate": True} for name in ("uvicorn", "uvicorn.error", "uvicorn.access")}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"facts": {"()": "agency.telemetry.logs.Facts"}},
        "formatters": {"line": line, "json": json},
        "handlers": {"console": handler},
        "root": {"handlers": ["console"], "level": level},
        "loggers": quiet | own,
    }
