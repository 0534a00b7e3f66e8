"""What is kept of a question and its answer, where the client opted in: redacted first, then bounded."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from agency.gateway.meter.redaction import redacted, redactor

log = logging.getLogger(__name__)

# What tells one question from another; options such as a seed do not.
PROMPT_FIELDS = ("messages", "system", "prompt", "suffix", "format", "tools")


@dataclass(frozen=True, slots=True)
class KeptBody:
    """One row of Body. `request` is JSON."""

    request: str
    answer: str
    prompt_digest: str


def kept_body(asked: Mapping[str, Any], answer: str, bodies: Mapping[str, Any]) -> KeptBody | None:
    """None where it is too long, or cannot be redacted: then nothing is kept rather than everything."""
    limit = bodies["max_bytes"]
    try:
        # Before the work of redaction: what is far too long never gets there.
        if len(orjson.dumps(asked)) + len(answer.encode()) > 2 * limit:
            return None
        redact = redactor(bodies["redaction"])
        document, text = redacted(asked, redact), redact(answer).replace("\0", "")
        request = orjson.dumps(document)
        if len(request) + len(text.encode()) > limit:
            return None
    except Exception as error:  # An installation's own redactor may raise anything; its text may hold what was asked.
        _warn(bodies["redaction"], type(error).__name__)
        return None
    return KeptBody(request.decode(), text, digest_of(document))


@lru_cache(maxsize=64)
def _warn(redaction: str, why: str) -> None:
    """Once: whatever is not installed here fails at every request."""
    log.warning("A body was not kept: redaction %s: %s", redaction, why)


def digest_of(document: Mapping[str, Any]) -> str:
    """SHA-256 of what was asked, as far as it makes the question."""
    prompt = {name: document[name] for name in PROMPT_FIELDS if document.get(name)}
    return hashlib.sha256(orjson.dumps(prompt, option=orjson.OPT_SORT_KEYS)).hexdigest()
