"""Rows of an archive under new ids: each key leads to the row that came of the row it led to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, models, transaction
from django.utils.translation import gettext as _

from agency.backup.manifest import NotAnArchive
from agency.leaving.bring.columns import cleaned, why
from pipelines.domain.transitions import LIVE_JOBS, LIVE_RUNS, JobStatus, RolloutStatus, RunStatus
from pipelines.models import (
    Batch,
    DatasetVersion,
    Example,
    Job,
    ModelVersion,
    Notice,
    PipelineState,
    Rollout,
    Route,
    Run,
)
from pipelines.shipping import route
from tenants import naming
from tenants.models import Client, Host, Pipeline

BATCH = 500
OpenKey = tuple[str, Any, int]
# What reading a row raises where it holds something else than a row of its table does.
UNREADABLE = (ValidationError, ValueError, TypeError, LookupError, AttributeError, OverflowError)
ENDED = "was under way when the archive was made"
Row = dict[str, Any]


@dataclass
class Bringing:
    """`ids`: per table, old id -> new. `later`: keys whose row was not there yet. `left_out`: rows without theirs.

    `made_at`: of the archive. Nothing of it was worked on after that.
    """

    client: Client
    now: datetime
    made_at: datetime
    ids: dict[type[models.Model], dict[int, int]] = field(default_factory=dict)
    later: list[tuple[type[models.Model], int, str, type[models.Model], int]] = field(default_factory=list)
    left_out: int = 0

    def bring(self, model: type[models.Model], rows: Iterable[Row]) -> int:
        """Makes the rows of one table, in the scope of the client. Raises NotAnArchive."""
        known = self.ids.setdefault(model, {})
        todo, count = enumerate(rows, start=1), 0
        while chunk := list(islice(todo, BATCH)):
            made = [one for number, row in chunk if (one := self._read(model, number, row)) is not None]
            saved = _saved(model, [row for _old, row, _open in made])
            for (old, _row, open_keys), row in zip(made, saved, strict=True):
                known[old] = row.pk
                self.later += [(model, row.pk, name, other, target) for name, other, target in open_keys]
            count += len(made)
            self.left_out += len(chunk) - len(made)
        return count

    def finish(self) -> None:
        """Keys that lead forward, such as a pipeline's to its newest settings; those of rows that are all there."""
        todo, self.later = self.later, []
        for model, pk, name, other, target in todo:
            found = self.ids.get(other, {}).get(target)
            if found is not None:
                model._default_manager.filter(pk=pk).update(**{name: found})

    def _read(self, model: type[models.Model], number: int, row: Row) -> tuple[int, Any, list[OpenKey]] | None:
        try:
            return self._made(model, row)
        except UNREADABLE as fault:
            words = {"table": model._meta.db_table, "number": number, "why": why(fault)}
            raise NotAnArchive(_("Row %(number)s of %(table)s is none: %(why)s") % words) from fault

    def _made(self, model: type[models.Model], row: Row) -> tuple[int, Any, list[OpenKey]] | None:
        """None for a row that names one that went while the archive was written."""
        values, open_keys = {}, []
        for column in model._meta.local_fields:
            if column.attname not in row or column.primary_key:
                continue
            value = row[column.attname]
            if column.is_relation:
                value, is_open = self._key(column, value)
                if value is None and not column.null:
                    return None
                if is_open:
                    open_keys.append((column.attname, column.related_model, row[column.attname]))
                values[column.attname] = value
            else:
                values[column.attname] = _named(column, value)
        values |= {"agency_id": self.client.agency_id, "client_id": self.client.pk}
        values |= CHANGES[model](row, self) if model in CHANGES else {}
        return _number(row), model(**values), open_keys

    def _key(self, column: Any, value: Any) -> tuple[int | None, bool]:
        """(new id, whether the row it leads to may still come)."""
        if value is None or column.attname in ("agency_id", "client_id"):
            return (0 if value is not None else None), False
        found = self.ids.get(column.related_model, {}).get(value)
        return found, found is None and column.null


def _named(column: models.Field, value: Any) -> Any:
    """Raises ValidationError, with the column's name."""
    try:
        return cleaned(column, value)
    except UNREADABLE as fault:
        raise ValidationError(f"{column.attname}: {why(fault)}") from fault


def _saved(model: type[models.Model], rows: list[Any]) -> list[Any]:
    """Raises NotAnArchive for what the database cannot hold, IntegrityError for what it must not."""
    try:
        return _routed(rows) if model is Route else model._default_manager.bulk_create(rows)
    except (DataError, ValueError, TypeError, OverflowError) as fault:
        words = {"table": model._meta.db_table, "why": why(fault)}
        raise NotAnArchive(_("Rows of %(table)s cannot be kept here: %(why)s") % words) from fault


def _routed(rows: list[Route]) -> list[Route]:
    """Again where a flip elsewhere took a serial at the same moment (see pipelines.shipping.route.flip)."""
    first = route.next_serial()
    while True:
        for serial, row in enumerate(rows, start=first):
            row.serial = serial
        try:
            with transaction.atomic():
                return list(Route.objects.bulk_create(rows))
        except IntegrityError:
            tried, first = first, route.next_serial()
            if first == tried:  # Nobody took one: it is another fault.
                raise


def _number(row: Row) -> int:
    if not isinstance(row.get("id"), int):
        raise NotAnArchive(_("A row of the archive has no number."))
    return int(row["id"])


def _host(row: Row, _all: Bringing) -> Row:
    """Not looked at and not sent to before somebody switches it on: the old installation may still do both."""
    return {"is_enabled": False, "due_at": None, "sealed": ""}


def _pipeline(row: Row, to: Bringing) -> Row:
    naming.short_name(row["slug"])  # One that is reserved by now stays: a pipeline never changes its name.
    reason = _("Came with an archive: look at its hosts, then resume.")
    return {"is_paused": True, "paused_by": "", "pause_reason": reason, "paused_at": to.now, "preset_id": None}


def _run(row: Row, to: Bringing) -> Row:
    if row["status"] not in LIVE_RUNS:
        return {"due_at": None}
    over = {"status": RunStatus.CANCELLED, "verdict": "cancelled", "reason": ENDED, "finished_at": _ended_at(row, to)}
    return over | {"due_at": None}


def _job(row: Row, to: Bringing) -> Row:
    over = {"status": JobStatus.CANCELLED, "finished_at": _ended_at(row, to)} if row["status"] in LIVE_JOBS else {}
    return over | {"due_at": None}


def _ended_at(row: Row, to: Bringing) -> datetime:
    """Of what was under way, or begun while the archive was written."""
    begun = [datetime.fromisoformat(row[name]) for name in ("created_at", "started_at") if row.get(name)]
    return max([to.made_at, *begun])


def _rollout(row: Row, to: Bringing) -> Row:
    final = (RolloutStatus.LIVE, RolloutStatus.RETIRED, RolloutStatus.ROLLED_BACK)
    return {} if row["status"] in final else {"status": RolloutStatus.RETIRED, "finished_at": _ended_at(row, to)}


def _route(row: Row, _all: Bringing) -> Row:
    """All traffic to production: whatever was tried beside it is not tried here. Its serial: `_routed`."""
    return {"candidate_id": None, "candidate_bp": 0, "rollout_id": None}


def _dataset(row: Row, to: Bringing) -> Row:
    new = to.ids.get(Batch, {})
    return {"batches": {str(new.get(int(old), old)): n for old, n in row["batches"].items()}}


def _quiet(_row: Row, _all: Bringing) -> Row:
    return {"due_at": None}


CHANGES: dict[type[models.Model], Callable[[Row, Bringing], Row]] = {
    Host: _host,
    Pipeline: _pipeline,
    Run: _run,
    Job: _job,
    Rollout: _rollout,
    Route: _route,
    DatasetVersion: _dataset,
    Batch: _quiet,
    Notice: _quiet,
    PipelineState: _quiet,
    Example: lambda _row, _all: {"signature": 0},
    ModelVersion: lambda row, _all: {"status": "archived"} if row["status"] == "candidate" else {},
}
