"""Questions from traffic that are far less like every category than what trains: candidates for a label."""

from __future__ import annotations

import json
from collections.abc import Iterator
from statistics import median

from django.utils.translation import gettext as _

from pipelines.models import Body, Example, ExampleState
from pipelines.validation.batch import said_by_user
from pipelines.validation.quality import KNOWN_ENOUGH, categories
from tenants.actions import input_digest
from tenants.models import Pipeline

# Half the median likeness: below it lie 5 % of the test questions of BANKING77.
LOOKED_AT, COMPARED, SHARE = 2_000, 300, 0.5


def novel_questions(pipeline: Pipeline, most: int) -> list[tuple[bytes, str]]:
    """(row with the answer that it got, why), the least known first. Empty where too little trains to tell."""
    rows = Example.objects.filter(pipeline=pipeline, state=ExampleState.READY, dataset__isnull=False)
    known = categories(rows)
    if known.size < KNOWN_ENOUGH:
        return []
    usual = [known.nearest(said_by_user(row.messages))[1] for row in rows.order_by("-id")[:COMPARED]]
    limit = SHARE * median(usual)
    found = []
    for messages in _unknown(pipeline):
        label, likeness = known.nearest(said_by_user(messages))
        if likeness < limit:
            found.append((likeness, label, messages))
    found.sort(key=lambda one: one[0])
    return [(json.dumps({"messages": said}).encode(), _why(label, likeness)) for likeness, label, said in found[:most]]


def _why(label: str, likeness: float) -> str:
    words = {"label": label or _("what is known"), "share": f"{likeness:.3f}"}
    return _("Not half as like any category as rows usually are: nearest is %(label)s, %(share)s.") % words


def _unknown(pipeline: Pipeline) -> Iterator[list[dict[str, str]]]:
    """Whole conversations whose question no row asks yet, each once, the newest first."""
    bodies = Body.objects.filter(pipeline=pipeline, exchange__is_error=False).exclude(answer="")
    seen: set[str] = set()
    for body in bodies.order_by("-at", "-pk")[:LOOKED_AT]:
        messages = _conversation(body)
        digest = input_digest(messages) if messages else ""
        known = Example.objects.filter(pipeline=pipeline, input_digest=digest)
        if messages and digest not in seen and not known.exists():
            yield messages
        seen.add(digest)


def _conversation(body: Body) -> list[dict[str, str]]:
    """Empty where a turn is no text."""
    request = json.loads(body.request)
    asked = request.get("messages") or [{"role": "user", "content": request.get("prompt")}]
    said = [{"role": str(m.get("role")), "content": m.get("content")} for m in asked]
    if not all(isinstance(m["content"], str) and m["content"].strip() for m in said):
        return []
    return [*said, {"role": "assistant", "content": body.answer}]
