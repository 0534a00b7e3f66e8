"""Records of an agent's gateway: taken as if one of ours had written them, under the agent's own client and host."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from django.db import DataError, IntegrityError

from agency.gateway.meter import records
from agency.gateway.meter.bodies import KeptBody
from agency.gateway.meter.judge import COUNT_LIMIT, Record
from agency.gateway.meter.sighting import Arm
from agency.gateway.routes.loading import bodies_of
from pipelines.models import ModelVersion, Rollout
from tenants import scope
from tenants.models import HostAgent, Pipeline

# What is left after a sender's clock was set right; what is older than this no page shows.
AHEAD, OLDEST = timedelta(minutes=5), timedelta(days=60)
# The way itself takes some time: less is no fault of a clock.
CLOCKS_AGREE = timedelta(seconds=2)
MOST_MS = 24 * 3600 * 1000.0


class NoRecord(ValueError):
    """Not of the form of a record, or of something that is not this client's."""


def take(
    agent: HostAgent, given: Sequence[Mapping[str, Any]], now: datetime, sent_at: datetime | None = None
) -> tuple[int, int]:
    """How many were taken and how many refused. A record that comes twice counts once.

    `sent_at`: what the sender's clock showed: evidence is counted by time, so that a wrong clock would hide it.
    """
    late = now - sent_at if sent_at is not None and abs(now - sent_at) > CLOCKS_AGREE else timedelta()
    with scope.client_scope(agent.client_id, agent.agency_id):
        known = Known.of(agent.client_id, given)
    read = [_record(agent, one, known, now, late) for one in given]
    found = list({record.request_id: record for record in read if record is not None}.values())
    doubled = sum(record is not None for record in read) - len(found)
    taken = _written(agent.client_id, found) + doubled
    return taken, len(given) - taken


def _written(client_id: int, found: Sequence[Record]) -> int:
    try:
        if found:
            records.write(client_id, found)
    except (IntegrityError, DataError):
        # One of them cannot be written, as where another client has an answer of that very id: the others can.
        return sum(_written(client_id, [record]) for record in found) if len(found) > 1 else 0
    return len(found)


@dataclass(frozen=True)
class Known:
    """What may be spoken of: the client's versions and rollouts by pipeline, and pipelines that keep bodies."""

    pipeline_of: Mapping[int, int]
    pipeline_of_rollout: Mapping[int, int]
    keeping: frozenset[int]

    @classmethod
    def of(cls, client_id: int, given: Sequence[Mapping[str, Any]]) -> Known:
        versions = ModelVersion.objects.filter(client_id=client_id, pk__in=_numbers(given, "version_id"))
        rollouts = Rollout.objects.filter(client_id=client_id, pk__in=_numbers(given, "rollout_id"))
        pipelines = Pipeline.objects.filter(client_id=client_id, pk__in=_numbers(given, "pipeline_id"))
        return cls(
            dict(versions.values_list("pk", "pipeline_id")),
            dict(rollouts.values_list("pk", "version__pipeline_id")),
            frozenset(row.pk for row in pipelines.select_related("revision") if bodies_of(row.revision)),
        )


def _numbers(given: Sequence[Mapping[str, Any]], name: str) -> set[int]:
    return {one[name] for one in given if _is_number(one.get(name)) and 0 < one[name] < 2**63}


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _record(agent: HostAgent, given: Mapping[str, Any], known: Known, now: datetime, late: timedelta) -> Record | None:
    try:
        read = {name: READ[name](given[name]) for name in READ}
        read |= {"at": read["at"] + late, "finished_at": read["finished_at"] + late}
        if known.pipeline_of.get(read["version_id"]) != read["pipeline_id"]:
            return None
        rollout = read["rollout_id"]
        if rollout is not None and known.pipeline_of_rollout.get(rollout) != read["pipeline_id"]:
            return None
        if not now - OLDEST <= read["at"] <= now + AHEAD:
            return None
        read["body"] = read["body"] if read["pipeline_id"] in known.keeping else None
        return Record(agency_id=agent.agency_id, client_id=agent.client_id, host=agent.host.name, **read)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _text(most: int) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not 0 < len(value) <= most or "\0" in value:
            raise NoRecord
        value.encode()  # Half of a surrogate pair is no character.
        return value

    return read


def _number(value: Any) -> int:
    if not _is_number(value) or not 0 <= value < 2**63:
        raise NoRecord
    return int(value)


def _count(value: Any) -> int:
    return min(_number(value), COUNT_LIMIT)


def _ms(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise NoRecord
    return min(max(float(value), 0.0), MOST_MS)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise NoRecord
    return value


def _at(value: Any) -> datetime:
    found = datetime.fromisoformat(_text(40)(value))
    if found.tzinfo is None:
        raise NoRecord
    return found


def _status(value: Any) -> int:
    return min(_number(value), 599)


def _body(value: Any) -> KeptBody:
    if not isinstance(value, dict) or set(value) != {field.name for field in fields(KeptBody)}:
        raise NoRecord
    return KeptBody(_text(2**20)(value["request"]), _answer(value["answer"]), _text(64)(value["prompt_digest"]))


def _answer(value: Any) -> str:
    return value if value == "" else _text(2**20)(value)


def _or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


READ: dict[str, Callable[[Any], Any]] = {
    "pipeline_id": _number,
    "version_id": _number,
    "rollout_id": _or_none(_number),
    "request_id": _text(40),
    "arm": Arm,
    "key_hash": _text(32),
    "at": _at,
    "finished_at": _at,
    "latency_ms": _ms,
    "status": _status,
    "is_error": _bool,
    "is_transport_error": _bool,
    "is_bad": _or_none(_bool),
    "is_after_load": _bool,
    "input_tokens": _count,
    "output_tokens": _count,
    "first_token_ms": _or_none(_ms),
    "body": _or_none(_body),
}
