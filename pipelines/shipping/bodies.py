"""Recent questions with what production answered, where the client has bodies kept: what a replay asks again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from django.db.models import QuerySet

from pipelines.models import Body
from tenants.models import EvalCase, EvalSet, Pipeline

# Read beyond what is wanted: the same question may have been asked often.
READ_PER_PROMPT = 10


@dataclass(frozen=True)
class RecentPrompt:
    """`request` is a host's body without its model: messages or prompt, options, format. `answer` is what was said.

    A held-out case in the place of traffic has neither body nor answer.
    """

    body_id: int | None
    digest: str
    request: Mapping[str, Any]
    answer: str
    exchange_id: int | None
    version_id: int | None
    at: datetime

    @property
    def is_chat(self) -> bool:
        return "messages" in self.request


def recent_prompts(
    pipeline: Pipeline, limit: int = 400, since: datetime | None = None, without: Collection[str] = ()
) -> list[RecentPrompt]:
    """The newest distinct questions of a pipeline that were answered without an error, the newest first.

    `without`: digests of those that were asked again already.
    """
    chosen = list(recent_digests(pipeline, limit, since, without).values())
    found = []
    for row in Body.objects.filter(pk__in=chosen).select_related("exchange").order_by("-at", "-pk"):
        facts = (row.answer, row.exchange_id, row.exchange.version_id, row.at)
        found.append(RecentPrompt(row.pk, row.prompt_digest, orjson.loads(row.request), *facts))
    return found


def recent_digests(
    pipeline: Pipeline, limit: int, since: datetime | None = None, without: Collection[str] = ()
) -> dict[str, int]:
    """Of those questions: digest -> key of the body. No text is read: they are long, and the same ones come often."""
    rows = Body.objects.filter(pipeline=pipeline, client_id=pipeline.client_id, exchange__is_error=False)
    if since is not None:
        rows = rows.filter(at__gte=since)
    found: dict[str, int] = {}
    newest = rows.order_by("-at", "-pk").values_list("pk", "prompt_digest")
    for pk, digest in newest[: limit * READ_PER_PROMPT]:
        if digest not in found and digest not in without:
            found[digest] = pk
        if len(found) == limit:
            break
    return found


def held_out_prompts(
    pipeline: Pipeline, limit: int, now: datetime, without: Collection[str] = ()
) -> list[RecentPrompt]:
    """The questions of the newest held-out set: what is asked where no traffic passes the gateway."""
    found: dict[str, RecentPrompt] = {}
    for case in _held_out(pipeline, without)[:limit]:
        asked = {"messages": case.messages}
        found[case.input_digest] = RecentPrompt(None, case.input_digest, asked, "", None, None, now)
    return list(found.values())


def held_out_digests(pipeline: Pipeline, limit: int, without: Collection[str] = ()) -> set[str]:
    """Of those questions."""
    return set(_held_out(pipeline, without).values_list("input_digest", flat=True)[:limit])


def _held_out(pipeline: Pipeline, without: Collection[str]) -> QuerySet[EvalCase]:
    newest = EvalSet.objects.filter(pipeline=pipeline, kind="heldout").order_by("-version").first()
    cases = EvalCase.objects.filter(eval_set=newest, client_id=pipeline.client_id).order_by("pk")
    return cases.exclude(input_digest__in=without)
