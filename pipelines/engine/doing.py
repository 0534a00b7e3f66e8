"""What is being done, and for whom: said once, it stands in every line of log and in the trace until it is done."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

from django.conf import settings
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from tenants import scope

Fact = str | int
NOTHING: Mapping[str, Fact] = MappingProxyType({})
_facts: ContextVar[Mapping[str, Fact]] = ContextVar("retune_facts", default=NOTHING)
_tracer = trace.get_tracer("retune")


def facts() -> dict[str, Fact]:
    """What was said around this line, with the ids of the client and the agency in scope."""
    found = dict(_facts.get())
    current = scope.current()
    if current is not None and current.client_id is not None:
        found.setdefault("client", current.client_id)
    if current is not None and current.agency_id is not None:
        found.setdefault("agency", current.agency_id)
    return found


@contextmanager
def doing(what: str, *, story: str = "", **about: Fact) -> Iterator[None]:
    """One span, and facts for the log. What belongs to one `story` is one trace, whichever processes work on it."""
    token = _facts.set({**_facts.get(), **about})
    try:
        attributes = {f"retune.{name}": value for name, value in facts().items()}
        inside = trace.set_span_in_context(NonRecordingSpan(_of_story(story))) if story else None
        with _tracer.start_as_current_span(what, inside, attributes=attributes):
            yield
    finally:
        _facts.reset(token)


def _of_story(story: str) -> SpanContext:
    """Every worker of an installation, and none of another, comes to these ids by itself: nothing is stored or sent."""
    drawn = hmac.digest(settings.SECRET_KEY.encode(), f"trace of {story}".encode(), hashlib.sha256)
    trace_id, span_id = int.from_bytes(drawn[:16], "big"), int.from_bytes(drawn[16:24], "big")
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
