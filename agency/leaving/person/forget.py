"""Erasing a person's rows: contents go, rows and digests stay, so that what was trained on what can still be told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import models, transaction
from django.utils.translation import gettext as _

from agency.leaving.person.columns import TEXTS
from agency.leaving.person.needle import ERASED, Needle
from agency.leaving.person.search import erasable, files_with, learnt, lines_of
from agency.leaving.tables import tables
from pipelines.actions.refused import ActionRefused
from pipelines.artifacts import store_of
from pipelines.domain.transitions import LIVE_RUNS
from pipelines.models import Batch, Body, Example, ExampleState, Exchange, ReplayPair, RowChange, Run, Scorecard
from tenants import actions
from tenants.models import AuditEvent, Client, EvalCase, EvalSet

RULE = "person_erased"


def forget(client: Client, needle: Needle, *, actor: str, reason: str, now: datetime) -> dict[str, Any]:
    """Inside the client's scope; gives what the ledger keeps: counts, digests and labels. Raises `ActionRefused`.

    Files go before rows: what breaks off in between is found again by the same words.
    """
    if not reason.strip():
        raise ActionRefused(_("Say why: the reason is kept in the ledger."))
    if Run.objects.filter(client=client, status__in=LIVE_RUNS).exists():
        raise ActionRefused(_("A run is under way, and may read these rows. Wait for its end, or cancel it first."))
    told: dict[str, Any] = {"reason": reason.strip(), "words": hashlib.sha256(needle.text.encode()).hexdigest()}
    told |= _learnt(client, needle)
    files = files_with(client, needle)
    told |= {"files": _forget_files(client, needle, files.found), "unread_files": list(files.unread)}
    with transaction.atomic():
        told["rows"] = _forget_rows(client, needle, actor, now)
        AuditEvent.append(client, actor, "person.forget", client.slug, now, told)
    return told


def _learnt(client: Client, needle: Needle) -> dict[str, Any]:
    """Read before the rows are erased: after that nobody can tell."""
    found = list(learnt(client, needle))
    return {
        "versions": [f"{one.pipeline.slug} {version.label}" for one in found for version in one.versions],
        "datasets": [dataset.digest for one in found for dataset in one.datasets],
        "clean": {one.pipeline.slug: one.clean.label if one.clean else "" for one in found},
    }


def _forget_files(client: Client, needle: Needle, found: Iterable[str]) -> list[str]:
    """Answers are written anew without their lines; datasets and uploads go, and rows keep their digests."""
    store, gone = store_of(client.pk), list(found)
    held = erasable(Example, needle, client.pk).values_list("batch__file_digest", flat=True)
    gone += sorted({digest for digest in held if digest and store.has(digest)} - set(gone))
    for digest in gone:
        for card in Scorecard.objects.filter(client=client, answers_digest=digest):
            card.answers_digest = store.put_chunks(_other_cases(store.path(digest), needle))
            card.save(update_fields=["answers_digest"])
        Batch.objects.filter(client=client, file_digest=digest).update(file_digest="")
        store.remove(digest)
    return gone


def _other_cases(answers: Path, needle: Needle) -> Iterator[bytes]:
    """Lines of cases of which no line holds it: both versions answered a case, or neither did."""
    gone = {_case_of(line) for line in lines_of(answers) if needle.is_told(line)}
    return (line.encode() for line in lines_of(answers) if _case_of(line) not in gone)


def _case_of(line: str) -> tuple[Any, Any]:
    row = json.loads(line)
    return row.get("set"), row.get("id")


def _forget_rows(client: Client, needle: Needle, actor: str, now: datetime) -> dict[str, int]:
    _leave_sets(client, needle, actor, now)
    _forget_changes(client, needle)
    counts: dict[str, int] = {}
    for model in tables():
        if model._meta.db_table in TEXTS or model in ACTS:
            rows = erasable(model, needle, client.pk)
            counts[model._meta.db_table] = ACTS.get(model, _scrub)(rows, needle)
    return {table: count for table, count in counts.items() if count}


def _leave_sets(client: Client, needle: Needle, actor: str, now: datetime) -> None:
    """The newest version of a set is replaced by one without these cases: nobody is asked an erased question."""
    cases = erasable(EvalCase, needle, client.pk)
    for eval_set in EvalSet.objects.filter(pk__in=cases.order_by().values("eval_set")).select_related("pipeline"):
        newer = EvalSet.objects.filter(pipeline=eval_set.pipeline, kind=eval_set.kind, version__gt=eval_set.version)
        if not newer.exists():
            left = EvalCase.objects.filter(eval_set=eval_set).exclude(pk__in=cases.values("pk")).order_by("pk")
            rest = [case.as_stored() for case in left]
            actions.put_eval_set(eval_set.pipeline, eval_set.kind, rest, actor, now, note=_("a person was erased"))


def _forget_changes(client: Client, needle: Needle) -> None:
    """What people's decisions keep of the rows."""
    held = erasable(Example, needle, client.pk).values("pk")
    RowChange.objects.filter(client=client, example__in=held).update(before={}, after={})


def _redact_example(rows: Any, needle: Needle) -> int:
    count = 0
    for row in list(rows):
        messages = [{**dict(message), "content": ERASED} for message in row.messages]
        label = needle.without(row.label, is_prose=True)
        values: dict[str, Any] = {"raw": "", "messages": messages, "detail": "", "label": label}
        values |= {"state": ExampleState.DISCARDED, "before": "", "rule": RULE, "pointer": ""}
        count += Example.objects.filter(pk=row.pk).update(**values)
    return count


def _redact_case(rows: Any, needle: Needle) -> int:
    count = 0
    for row in list(rows):
        messages = [{**dict(message), "content": ERASED} for message in row.messages]
        values = {"messages": messages, "expected": {}, "key": f"erased-{row.pk}", "origin": ""}
        count += EvalCase.objects.filter(pk=row.pk).update(**values)
    return count


def _remove(rows: Any, needle: Needle) -> int:
    pks = list(rows.values_list("pk", flat=True))
    rows.model._default_manager.filter(pk__in=pks).delete()
    return len(pks)


def _unkey(rows: Any, needle: Needle) -> int:
    return int(rows.update(key_hash=""))


def _scrub(rows: Any, needle: Needle) -> int:
    count = 0
    for row in list(rows):
        count += type(row)._default_manager.filter(pk=row.pk).update(**needle.scrubbed(row))
    return count


ACTS: dict[type[models.Model], Callable[[Any, Needle], int]] = {
    Example: _redact_example,
    EvalCase: _redact_case,
    Body: _remove,
    ReplayPair: _remove,
    Exchange: _unkey,
}
