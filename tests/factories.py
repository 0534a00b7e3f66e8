"""Rows for tests: agencies, people, clients, pipelines, and runs that stand at any stage."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.domain.transitions import RunStatus
from pipelines.models import PipelineState, Route, Run, Waiver
from tenants import actions, scope
from tenants.models import Agency, Client, Host, Membership, Pipeline, Role, User
from tests import stage_rows

NOW = datetime(2026, 3, 3, 4, 0, tzinfo=UTC)
PASSWORD = "correct horse battery"
STAGES = ("trigger", "validate", "finetune", "evaluate", "compare", "deploy", "monitor")
DONE = "done"  # make_run(at=DONE): every stage is behind it.
LABELS = ("billing", "delivery", "returns")
_serials = itertools.count(1)


@contextmanager
def inside(row: Any) -> Iterator[None]:
    """The scope of the row's client (or of the client itself)."""
    agency_id, client_id = row.owner()
    with scope.client_scope(client_id, agency_id):
        yield


def make_agency(slug: str = "north") -> Agency:
    return Agency.objects.create(name=slug.title(), slug=slug, created_at=NOW)


def make_member(agency: Agency, role: Role, client: Client | None = None, email: str = "") -> User:
    with scope.agency_scope(agency.pk):
        email = email or f"{role}-{next(_serials)}@{agency.slug}.example"
        membership: Membership = actions.add_member(agency, email, role, "tests", NOW, password=PASSWORD, client=client)
    return membership.user


def make_client(agency: Agency | None = None, slug: str = "", timezone: str = "UTC") -> Client:
    """A client, of a new agency when none is given."""
    number = next(_serials)
    agency = agency or make_agency(f"agency-{number}")
    slug = slug or f"client-{number}"
    with scope.agency_scope(agency.pk):
        return actions.create_client(agency, slug.title(), slug, "tests", NOW, timezone)


def make_host(client: Client, name: str = "shop", url: str = "http://127.0.0.1:9") -> Host:
    """A host row; the default address answers nobody, and no ticker looks at it unless the test says so."""
    with inside(client):
        host = actions.add_host(client, name, url, "tests", NOW)
        host.due_at = None
        host.save(update_fields=["due_at"])
    return host


def make_key(client: Client, *verbs: str) -> str:
    """The text of a new key; without verbs it may do everything that a key can."""
    from tenants.access import KEY_VERBS

    with inside(client):
        return actions.issue_key(client, f"key-{next(_serials)}", verbs or tuple(KEY_VERBS), "tests", NOW)[1]


def settings_body(stages: tuple[str, ...] = STAGES, **overrides: Any) -> dict[str, Any]:
    """A valid settings body; `overrides` are merged in depth, e.g. `triggers={"new_examples": 10}`."""
    body: dict[str, Any] = {
        "stages": stages,
        "criteria": {"metrics": ["accuracy"], "output": {"kind": "label", "labels": LABELS}},
        "hosts": ["shop"],
        "recipients": ["team@north.example"],
    }
    return merged(body, overrides)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(dict(base))
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(made.get(name), Mapping)
        made[name] = merged(made[name], value) if both else value
    return made


def make_pipeline(
    client: Client | None = None, slug: str = "support", stages: tuple[str, ...] = STAGES, **overrides: Any
) -> Pipeline:
    """A pipeline with its host, its state and its first settings revision."""
    client = client or make_client()
    with inside(client):
        if not Host.objects.filter(client=client, name="shop").exists():
            make_host(client)
        body = settings_body(stages, **overrides)
        pipeline = actions.create_pipeline(client, slug.replace("-", " ").title(), slug, body, "tests", NOW)
        PipelineState.objects.get_or_create(
            pipeline=pipeline, defaults={"client_id": client.pk, "agency_id": client.agency_id}
        )
    return pipeline


def make_waiver(pipeline: Pipeline, gate: str = "accuracy", days: float = 3650, now: datetime = NOW) -> Waiver:
    """In force for ten years, so that it also is by the clock on the wall."""
    fields = {"gate": gate, "approver": "owner@north.example", "reason": "asked by a test", "created_at": now}
    with inside(pipeline):
        row = Waiver.of(pipeline, pipeline=pipeline, expires_at=now + timedelta(days=days), **fields)
        row.save()
    return row


def make_run(pipeline: Pipeline | None = None, at: str = "compare", status: str = "", now: datetime = NOW) -> Run:
    """A run whose stages before `at` are done, with the rows that each leaves; `at` has begun unless it is queued.

    `status`: "" is queued for its stage; "waiting", "held", "running" or a final one are entered by legal moves.
    """
    pipeline = pipeline or make_pipeline()
    with inside(pipeline):
        run = _new_run(pipeline, now)
        for minutes, stage in enumerate(_before(at)):
            _finish(run, stage, now + timedelta(minutes=minutes))
        last = RunStatus.SUCCEEDED if at == DONE else RunStatus(status or RunStatus.QUEUED)
        if last != RunStatus.QUEUED:
            _leave_at(run, last, now + timedelta(minutes=30))
    return run


def make_production(pipeline: Pipeline, now: datetime = NOW) -> Run:
    """The run behind a version that is in production and gets all the traffic."""
    run = make_run(pipeline, at=DONE, now=now)
    with inside(pipeline):
        version = run.model_version
        version.status, version.promoted_at = "production", now
        version.save()
        PipelineState.objects.filter(pipeline=pipeline).update(production=version)
        Route.objects.filter(pipeline=pipeline).update(production=version, candidate=None, candidate_bp=0, rollout=None)
    return run


def _before(at: str) -> tuple[str, ...]:
    return STAGES if at == DONE else STAGES[: STAGES.index(at)]


def _new_run(pipeline: Pipeline, now: datetime) -> Run:
    state = PipelineState.objects.get(pipeline=pipeline)
    state.last_run_number += 1
    occasion = {"kind": "person", "by": "owner@north.example", "reason": "asked by a test"}
    fields = {"revision": pipeline.revision, "number": state.last_run_number, "occasion": occasion}
    run = Run.of(pipeline, pipeline=pipeline, created_at=now, due_at=now, **fields)
    run.save()
    state.latest_run = run
    state.save()
    return run


def _finish(run: Run, stage: str, now: datetime) -> None:
    """The stage's rows and its two moves."""
    run.move(RunStatus.RUNNING, "", now)
    stage_rows.leave(run, stage, now)
    following = STAGES[STAGES.index(stage) + 1 :]
    if following:
        run.move(RunStatus.QUEUED, "", now, stage=following[0])


def _leave_at(run: Run, status: RunStatus, now: datetime) -> None:
    if run.status == RunStatus.QUEUED:
        run.move(RunStatus.RUNNING, "", now)
        stage_rows.begin(run, run.stage, now)
    if status != RunStatus.RUNNING:
        run.move(status, f"left {status} by a test", now)
