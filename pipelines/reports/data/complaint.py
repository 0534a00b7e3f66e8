"""A bad answer that somebody brings: which version said it, where and when, and what that version learnt nearby."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from django.db.models import Q, QuerySet

from pipelines.models import Exchange, Feedback, Route
from pipelines.reports.judging.suspects import Suspect, nearest
from pipelines.validation.batch import said_by_user
from tenants.models import Pipeline

SHOWN = 20
LONGEST = 2_000


@dataclass(frozen=True)
class Traced:
    """One answer. `messages` and `answer` are empty where the client has no bodies kept, or not any more."""

    exchange: Exchange
    messages: Sequence[Mapping[str, Any]]
    answer: str
    feedback: tuple[Feedback, ...]

    @property
    def question(self) -> str:
        return said_by_user([dict(message) for message in self.messages])

    @property
    def right_answer(self) -> str:
        """As the users gave it, the latest."""
        return next((row.correct_answer for row in self.feedback if row.correct_answer), "")


def trace(pipeline: Pipeline, text: str) -> tuple[Traced, ...]:
    """The answers that `text` may mean, the newest first: a request id, or words of a kept question or answer."""
    said = text.strip()[:LONGEST]
    if not said:
        return ()
    rows = Exchange.objects.filter(pipeline=pipeline, client_id=pipeline.client_id)
    found = rows.filter(request_id=said)
    if not found.exists():
        found = rows.filter(_words_of(said))
    return tuple(_traced(row) for row in _with_facts(found)[:SHOWN])


def rows_near(pipeline: Pipeline, traced: Traced | None, text: str) -> tuple[Suspect, ...]:
    """What the version that answered learnt near the question; of an unknown answer what production learnt near it."""
    if traced is not None:
        answers = (traced.answer.strip(), traced.right_answer)
        return nearest(traced.exchange.version, traced.question, answers)
    route = Route.objects.select_related("production__dataset").filter(pipeline=pipeline).first()
    return nearest(route.production, text, ()) if route else ()


def _words_of(said: str) -> Q:
    """A question is kept as JSON: line ends and quotes are escaped in it."""
    inside = orjson.dumps(said).decode()[1:-1]
    return Q(body__answer__icontains=said) | Q(body__request__icontains=inside)


def _with_facts(rows: QuerySet[Exchange]) -> QuerySet[Exchange]:
    return rows.select_related("version__dataset", "body").prefetch_related("feedback").order_by("-at", "-pk")


def _traced(exchange: Exchange) -> Traced:
    feedback = tuple(sorted(exchange.feedback.all(), key=lambda row: row.at, reverse=True))
    body = getattr(exchange, "body", None)
    if body is None:
        return Traced(exchange, (), "", feedback)
    asked = orjson.loads(body.request)
    messages = asked.get("messages") or [{"role": "user", "content": str(asked.get("prompt", ""))}]
    return Traced(exchange, messages, body.answer, feedback)
