"""The whole API under generated requests, as each kind of caller: nothing breaks, nothing undocumented is answered, and
whoever may not, changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import Client as Browser
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from agency.api import api
from tenants import scope
from tenants.access import KEY_VERBS
from tenants.machines import add_machine
from tenants.machines.agents import add_agent_host
from tenants.models import AuditEvent
from tests import factories
from tests.web import doors
from tests.web.conftest import Stage

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SCHEMA = schemathesis.openapi.from_dict(json.loads(json.dumps(api.get_openapi_schema())))
OPERATIONS = {found.ok().definition.raw["operationId"]: found.ok() for found in SCHEMA.get_all_operations()}
KEYED = [name for name, operation in OPERATIONS.items() if operation.definition.raw["x-key-verbs"]]
MACHINES = [name for name in OPERATIONS if name not in KEYED]
AGENTS = [name for name in MACHINES if "/agent/" in OPERATIONS[name].path]
FEW = settings(
    max_examples=10,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@schemathesis.serializer("application/x-ndjson", "application/octet-stream")
def lines(_context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture
def app() -> Iterator[WSGIHandler]:
    """The connection is the test's transaction: no request may close it."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield WSGIHandler()
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def db(undone: Stage) -> Stage:
    return undone


@pytest.fixture
def stage(db: Stage) -> Stage:
    return db


@pytest.fixture
def world(stage: Stage) -> doors.World:
    return stage.world


def fuzz(name: str, app: WSGIHandler, key: str, world: doors.World) -> set[int]:
    """Sends generated requests, half of them at things that there are; gives the statuses answered."""
    seen: set[int] = set()

    @FEW
    @given(case=OPERATIONS[name].as_strategy(), hits=st.booleans())
    def send(case: Any, hits: bool) -> None:
        if hits:
            case.path_parameters |= {
                part: value for part, value in there(world).items() if part in (case.path_parameters or {})
            }
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {key}"}
        answer = case.call(app=app)
        seen.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    send()
    return seen


def there(world: doors.World) -> dict[str, Any]:
    known = world.address | {"slug": world.pipeline.slug, "name": "shop", "order": "pause"}
    return {part: known[part] for part in ("slug", "number", "batch_id", "name", "order", "freeze", "waiver")}


@pytest.mark.parametrize("name", KEYED)
def test_no_request_breaks_it(name: str, app: WSGIHandler, world: doors.World) -> None:
    seen = fuzz(name, app, factories.make_key(world.client), world)
    assert not seen & {401, 403}


@pytest.mark.parametrize("name", AGENTS)
def test_no_request_of_an_agent_breaks_it(name: str, app: WSGIHandler, world: doors.World) -> None:
    with factories.inside(world.client):
        _host, token = add_agent_host(world.client, "fuzz", actor="tests", now=factories.NOW)
    assert 401 not in fuzz(name, app, token, world)


@pytest.mark.parametrize("name", [name for name in MACHINES if name not in AGENTS])
def test_no_request_of_a_machine_breaks_it(name: str, app: WSGIHandler, world: doors.World) -> None:
    with scope.agency_scope(world.client.agency_id):
        _row, token = add_machine(world.client.agency, "fuzz", ("gpu",), True, actor="tests", now=factories.NOW)
    assert 401 not in fuzz(name, app, token, world)


@pytest.mark.parametrize(
    ("value", "word"), [(r'"a\u0000"', "NUL"), (r'"\udabf"', "surrogate"), ("NaN", "NaN"), ("-1e999", "infinity")]
)
def test_what_no_database_keeps_is_refused_however_deep(value: str, word: str, world: doors.World) -> None:
    with scope.agency_scope(world.client.agency_id):
        _row, token = add_machine(world.client.agency, "odd", ("gpu",), True, actor="tests", now=factories.NOW)
    answer = Browser().post(
        "/rest/v1/machine/jobs/1/beat",
        f'{{"version": 1, "numbers": {{"loss": [{{"of": {value}}}]}}}}',
        content_type="application/json",
        headers={"authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 422
    message = answer.json()["error"]["message"]
    assert message.startswith("asked: numbers holds") and word in message


@pytest.mark.parametrize("name", MACHINES)
def test_no_key_opens_the_door_of_a_machine(name: str, app: WSGIHandler, world: doors.World) -> None:
    key = factories.make_key(world.client)
    before = rows_of(world)
    assert fuzz(name, app, key, world) <= {401, 404, 416}  # 416: a range that no file has, before anybody looks for one
    assert rows_of(world) == before


@pytest.mark.parametrize("name", KEYED)
@pytest.mark.parametrize("who", ["stranger", "sibling", "without the verb"])
def test_who_may_not_changes_nothing(name: str, who: str, app: WSGIHandler, stage: Stage) -> None:
    world = stage.world
    verbs = OPERATIONS[name].definition.raw["x-key-verbs"]
    others = [verb for verb in KEY_VERBS if verb not in verbs]
    keys = {
        "stranger": "rk_nobody",
        "sibling": stage.keys["sibling_key"],
        "without the verb": factories.make_key(world.client, *others),
    }
    before = rows_of(world)

    seen = fuzz(name, app, keys[who], world)

    assert rows_of(world) == before
    if who != "sibling":  # Its key opens doors of its own client. 404: no door has such an address.
        assert seen <= {"stranger": {401, 404}, "without the verb": {403, 404}}[who]


def rows_of(world: doors.World) -> list[str]:
    """The ledger notes every act: what it does not know was not done."""
    with factories.inside(world.client):
        return [f"{event.pk} {event.verb}" for event in AuditEvent.objects.order_by("pk")]
