"""Recent questions with what production answered, where the client has bodies kept: what a replay asks again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

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
    rows = Body.objects.filter(pipeline=pipeline, client_id=pipeline.client_id, exchange__is_error=False)
    if since is not None:
        rows = rows.filter(at__gte=since)
    found: dict[str, RecentPrompt] = {}
    for row in rows.select_related("exchange").order_by("-at", "-pk")[: limit * READ_PER_PROMPT]:
        if row.prompt_digest not in found and row.prompt_digest not in without:
            facts = (row.answer, row.exchange_id, row.exchange.version_id, row.at)
            found[row.prompt_digest] = RecentPrompt(row.pk, row.prompt_digest, orjson.loads(row.request), *facts)
        if len(found) == limit:
            break
    return list(found.values())


def held_out_prompts(
    pipeline: Pipeline, limit: int, now: datetime, without: Collection[str] = ()
) -> list[RecentPrompt]:
    """The questions of the newest held-out set: what is asked where no traffic passes the gateway."""
    newest = EvalSet.objects.filter(pipeline=pipeline, kind="heldout").order_by("-version").first()
    cases = EvalCase.objects.filter(eval_set=newest, client_id=pipeline.client_id).order_by("pk")
    found: dict[str, RecentPrompt] = {}
    for case in cases.exclude(input_digest__in=without)[:limit]:
        asked = {"messages": case.messages}
        found[case.input_digest] = RecentPrompt(None, case.input_digest, asked, "", None, None, now)
    return list(found.values())
