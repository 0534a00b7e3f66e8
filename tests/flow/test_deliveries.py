"""Notices on their way to channels: once each, tried again, given up, sent again by a person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from pipelines import outbox
from pipelines.domain.telling.pacing import GIVEN_UP_AFTER, MAX_TRIES
from pipelines.models import Delivery, Notice, Run
from pipelines.notifiers.webhook import new_secret
from pipelines.outbox import deliveries
from tenants import scope
from tenants.crypto import sealing
from tenants.models import AuditEvent, Channel, Client, Role
from tenants.rotation import reseal
from tenants.telling.channels import BOTH_FOR, Leads, add_channel, remove_channel, rotate, switch_channel
from tests import factories
from tests.conftest import Clock
from tests.unit.outbound.answering import server


class Server:
    """Keeps what it is sent; `statuses` are its next answers, then 200."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.statuses: list[int] = []

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.heard.append(({name.lower(): value for name, value in handler.headers.items()}, json.loads(body)))
        handler.send_response(self.statuses.pop(0) if self.statuses else 200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()


@pytest.fixture
def ops() -> Iterator[Server]:
    made = Server()
    with server(made) as port:
        made.url = f"http://127.0.0.1:{port}/hook"  # type: ignore[attr-defined]
        yield made


@pytest.fixture
def run(in_acorn: Client) -> Run:
    factories.make_member(in_acorn.agency, Role.OWNER, email="boss@north.example")
    return factories.make_run(factories.make_pipeline(in_acorn), at="compare", status="held")


def add(run: Run, ops: Any, name: str = "ops", client: Client | None = None, kinds: tuple[str, ...] = ("held",)) -> Any:
    with scope.agency_scope(run.agency_id):
        leads = Leads(ops.url, secret=new_secret())
        place = client or run.pipeline.agency
        return add_channel(place, (name, "webhook"), leads, kinds, actor="tests", now=factories.NOW)


def waiting(run: Run) -> list[Delivery]:
    return list(Delivery.objects.filter(client_id=run.client_id, due_at__isnull=False))


def again(delivery: Delivery) -> Delivery:
    return Delivery.objects.get(pk=delivery.pk)


def test_a_notice_goes_once_to_each_channel_that_wants_it(run: Run, ops: Server, clock: Clock, birch: Client) -> None:
    add(run, ops)
    add(run, ops, "acorns", run.client)
    add(run, ops, "failures", kinds=("failed",))
    add(run, ops, "birches", birch)
    for _ in range(2):
        outbox.notify(run, "held", clock.now)

    sent = [deliveries.send_due(row.pk, clock.now) for row in waiting(run)]

    assert sent == [True, True] and waiting(run) == []
    assert [deliveries.send_due(row.pk, clock.now) for row in Delivery.objects.all()] == [False, False]
    assert [told["type"] for _headers, told in ops.heard] == ["retune.held"] * 2
    data = ops.heard[0][1]["data"]
    assert (data["client"], data["pipeline"], data["incident"]) == ("acorn", "support", "decision")
    assert data["subject"] == "Acorn Support v1 needs you (compare)"


def test_a_refused_delivery_keeps_its_id_and_words_and_is_tried_again(run: Run, ops: Server, clock: Clock) -> None:
    add(run, ops)
    outbox.notify(run, "held", clock.now)
    ops.statuses = [500]
    (row,) = waiting(run)

    assert not deliveries.send_due(row.pk, clock.now)
    refused = again(row)
    assert (refused.status, refused.status_code, refused.attempts) == ("waiting", 500, 1)
    assert refused.due_at is not None and refused.due_at > clock.now
    assert not deliveries.send_due(row.pk, refused.due_at - timedelta(seconds=1))
    assert deliveries.send_due(row.pk, refused.due_at)

    first, second = ops.heard
    assert first[0]["webhook-id"] == second[0]["webhook-id"] == row.message_id
    assert first[1] == second[1]
    assert (again(row).status, again(row).error) == ("sent", "")


def test_a_channel_that_takes_nothing_for_days_is_switched_off_and_owners_get_a_mail(
    run: Run, ops: Server, clock: Clock
) -> None:
    channel = add(run, ops)
    outbox.notify(run, "held", clock.now)
    ops.statuses = [503] * MAX_TRIES
    (row,) = waiting(run)
    while again(row).due_at is not None:
        clock.now = again(row).due_at
        deliveries.send_due(row.pk, clock.now)
    assert (again(row).status, again(row).attempts) == ("failed", MAX_TRIES)
    ops.statuses = [503]
    clock.now = factories.NOW + GIVEN_UP_AFTER
    next_one = outbox.notify(run, "held", clock.now) if run.approvals else _another(run, clock)
    deliveries.send_due(next_one.pk, clock.now)

    with scope.agency_scope(run.agency_id):
        off = Channel.objects.get(pk=channel.pk)
        assert (off.is_on, off.disabled_by) == (False, "outbox")
        assert AuditEvent.objects.filter(verb="channel.off").count() == 1
    told = Notice.objects.get(kind="channel_off")
    assert (told.recipients, told.due_at) == (["boss@north.example"], clock.now)


def _another(run: Run, clock: Clock) -> Delivery:
    run.approvals = {"compare": [{"by": "owner", "reason": "go on", "at": clock.now.isoformat()}]}
    notice = outbox.notify(run, "held", clock.now)
    return Delivery.objects.get(notice=notice)


def test_a_server_that_says_it_is_gone_ends_its_channel_at_once(run: Run, ops: Server, clock: Clock) -> None:
    channel = add(run, ops)
    outbox.notify(run, "held", clock.now)
    _another(run, clock)
    ops.statuses = [410]
    first, second = waiting(run)

    deliveries.send_due(first.pk, clock.now)
    deliveries.send_due(second.pk, clock.now)

    with scope.agency_scope(run.agency_id):
        assert not Channel.objects.get(pk=channel.pk).is_on
    assert len(ops.heard) == 1 and again(second).status == "dropped"


def test_a_person_sends_one_again_under_the_same_id(run: Run, ops: Server, clock: Clock) -> None:
    add(run, ops)
    outbox.notify(run, "held", clock.now)
    (row,) = waiting(run)
    deliveries.send_due(row.pk, clock.now)
    with scope.agency_scope(run.agency_id):
        twin = deliveries.replay(Delivery.objects.get(pk=row.pk), "boss@north.example", clock.now)

    assert deliveries.send_due(twin.pk, clock.now)
    first, second = ops.heard
    assert first[1] == second[1] and first[0]["webhook-id"] == second[0]["webhook-id"]
    assert AuditEvent.objects.filter(verb="delivery.replay").count() == 1


def test_a_secret_is_sealed_rotated_and_resealed(run: Run, ops: Server, clock: Clock, settings: Any) -> None:
    channel = add(run, ops)
    assert ops.url not in channel.sealed  # type: ignore[attr-defined]
    with scope.agency_scope(run.agency_id):
        first = channel.signing(clock.now)
        second = new_secret()
        until = rotate(channel, second, "tests", clock.now)

    assert channel.signing(clock.now) == (second, *first)
    assert (until, channel.signing(until)) == (clock.now + BOTH_FOR, (second,))
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key of the installation"
    with scope.entered(None):
        assert reseal("tests", clock.now).unreadable == ()
    settings.SECRET_KEY_FALLBACKS = []
    with scope.agency_scope(run.agency_id):
        assert Channel.objects.get(pk=channel.pk).secret()["url"] == ops.url  # type: ignore[attr-defined]


def test_a_channel_whose_secret_cannot_be_read_is_a_refusal(run: Run, ops: Server, clock: Clock) -> None:
    channel = add(run, ops)
    with scope.agency_scope(run.agency_id):
        Channel.objects.filter(pk=channel.pk).update(sealed=sealing.seal("elsewhere", {"url": "http://x"}))
    outbox.notify(run, "held", clock.now)
    (row,) = waiting(run)

    assert not deliveries.send_due(row.pk, clock.now)
    assert "enter it again" in again(row).error and ops.heard == []


def test_switching_and_removing_touch_only_what_is_there(run: Run, ops: Server, clock: Clock) -> None:
    channel = add(run, ops)
    outbox.notify(run, "held", clock.now)
    with scope.agency_scope(run.agency_id):
        assert switch_channel(channel, False, "tests", clock.now)
        assert not switch_channel(channel, False, "tests", clock.now)
        assert switch_channel(channel, True, "tests", clock.now)
        remove_channel(channel, "tests", clock.now)

    assert Delivery.objects.count() == 0 and Notice.objects.filter(kind="held").count() == 1
