"""The doors of an agent beside a host, word by word; and the gateway's door, by which it hears of routes and calls."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client as Browser
from django.utils import timezone

from agency.agent import spool
from agency.gateway.app import Gateway, beside, nothing_else
from agency.gateway.meter.bodies import KeptBody
from agency.gateway.meter.judge import Record
from agency.gateway.routes.agents import AGENT_PATH, AgentDoor
from pipelines.artifacts import store_of
from pipelines.hosts import HostDown, HostRefused, open_host
from pipelines.machines.agents import DOUBLED, AgentLine, line_of, troubled
from pipelines.models import Body, Exchange, ModelVersion, Traffic, TrafficSpan
from pipelines.outbound import Access
from pipelines.reach import for_child, open_row, secret_for_child
from pipelines.retention import forget_old_traffic
from pipelines.rollups import roll_up, roll_up_all
from pipelines.shipping.route import flip
from pipelines.worker import protocol
from pipelines.worker.link import Answer, Link
from tenants.machines import agents, calls
from tenants.machines.calls import Wanted
from tenants.models import AuditEvent, Client, Host, HostAgent, HostCall
from tests import factories
from tests.flow.gateway.double import asgi_server, wait_for

PATIENCE = timedelta(seconds=30)
HAND = "a hand of this test, at random"


class Box:
    """An agent as its doors see it."""

    def __init__(self, client: Client, name: str = "shop") -> None:
        with factories.inside(client):
            self.host, self.token = agents.add_agent_host(client, name, actor="owner", now=timezone.now())
            Host.objects.filter(pk=self.host.pk).update(due_at=None)
        self.client, self.headers = client, {"Authorization": f"Bearer {self.token}"}

    def post(self, path: str, **body: Any) -> HttpResponse:
        sent = {"content_type": "application/json", "headers": self.headers}
        return Browser().post(f"/rest/v1/agent/{path}", body, **sent)

    def claim(self, hand: str = HAND) -> dict[str, Any] | None:
        answer = self.post("calls", hand=hand)
        assert answer.status_code in (200, 204), answer.content
        return answer.json() if answer.status_code == 200 else None

    def answer(self, call: int, body: bytes, status: int = 200) -> HttpResponse:
        path = f"/rest/v1/agent/calls/{call}/answer?status={status}&content_type=application/json"
        return Browser().put(path, body, content_type="application/octet-stream", headers=self.headers)

    def called(self, wanted: Wanted) -> HostCall:
        with factories.inside(self.client):
            call = calls.ask(self.host, wanted, timezone.now(), PATIENCE)
        assert call is not None
        return call

    @contextmanager
    def serving(self, answers: dict[str, tuple[int, Any]]) -> Iterator[list[str]]:
        """Makes calls in a thread, as the program does; gives what it was asked."""
        asked: list[str] = []
        over = threading.Event()

        def work() -> None:
            while not over.wait(0.02):
                told = self.claim()
                if told is not None:
                    asked.append(f"{told['method']} {told['path']}")
                    status, document = answers[told["path"]]
                    self.answer(told["call"], json.dumps(document).encode(), status)
            connection.close()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield asked
        finally:
            over.set()
            thread.join(10)


@pytest.fixture
def client(db: None) -> Client:
    return factories.make_client(slug="acorn")


@pytest.fixture
def box(client: Client) -> Box:
    return Box(client)


def test_a_token_is_told_once_kept_as_a_digest_and_written_down(box: Box, client: Client) -> None:
    with factories.inside(client):
        row, line = HostAgent.objects.get(), AuditEvent.objects.get(verb="host.add")
    assert row.digest == hashlib.sha256(box.token.encode()).hexdigest()
    assert box.token.rpartition("_")[2] not in f"{vars(row)} {line.detail}"
    assert (box.host.kind, box.host.url) == ("agent", "http://shop.agent.invalid")
    told = box.post("hello").json()
    assert (told["host"], told["client"]) == ("shop", "acorn")


def test_it_is_offered_the_program_that_belongs_here_and_told_when_its_own_is_too_old(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = box.post("hello").json()["program"]
    answer = Browser().get("/rest/v1/agent/program", headers=box.headers)
    assert hashlib.sha256(answer.content).hexdigest() == told["digest"] == answer["X-Retune-Digest"]
    assert Browser().get("/rest/v1/agent/program").status_code == 401

    monkeypatch.setattr(protocol, "OLDEST", 2)
    old = box.post("hello")
    assert old.status_code == 426
    line = "RETUNE_URL=... RETUNE_TOKEN_FILE=... python3 retune-agent.pyz update"
    assert f"needs 2 or later. On its machine run: {line}" in old.json()["error"]["message"]
    assert old.json()["error"]["code"] == "too_old"
    assert Browser().get("/rest/v1/agent/program", headers=box.headers).status_code == 200
    box.headers |= {protocol.HEADER: "2"}
    assert box.post("hello").status_code == 200


def test_two_programs_with_one_token_are_noticed_and_a_restart_is_not(box: Box, client: Client) -> None:
    def line() -> AgentLine:
        with factories.inside(client):
            found = line_of(box.host, timezone.now())
        assert found is not None
        return found

    for session in ("one", "one", "restarted", "restarted"):
        box.post("hello", session=session, at=(timezone.now() + timedelta(hours=1)).isoformat())
    assert not line().is_doubled
    assert line().is_clock_wrong and 3590 < line().clock_s < 3610
    box.post("hello", session="one")
    assert line().is_doubled
    assert list(troubled(timezone.now(), "")) == [DOUBLED]


def test_what_it_says_of_itself_is_kept(box: Box, client: Client) -> None:
    box.post("hello", ollama="0.33.0", is_ollama_up=True, serial=4, records=2)
    with factories.inside(client):
        row = HostAgent.objects.get()
    assert row.said | {"ollama": "0.33.0", "is_ollama_up": True, "serial": 4, "records": 2} == row.said
    assert not row.is_silent(timezone.now())


def test_renewed_or_revoked_the_old_token_opens_nothing_at_once(box: Box, client: Client) -> None:
    with factories.inside(client):
        token = agents.renew_token(box.host, actor="owner", reason="lost a laptop", now=timezone.now())
    assert box.post("hello").status_code == 401
    box.headers = {"Authorization": f"Bearer {token}"}
    assert box.post("hello").status_code == 200
    with factories.inside(client):
        agents.revoke_agent(box.host, actor="owner", reason="sold", now=timezone.now())
        verbs = list(
            AuditEvent.objects.filter(verb__startswith="host.agent").order_by("seq").values_list("verb", flat=True)
        )
    assert [box.post(path, hand=HAND).status_code for path in ("hello", "calls", "records")] == [401] * 3
    assert verbs == ["host.agent.renew", "host.agent.revoke"]


def test_a_call_is_claimed_once_answered_once_and_found_again_by_its_hand(box: Box) -> None:
    call = box.called(Wanted("GET", "/api/version"))
    first, again = box.claim(), box.claim()
    assert first is not None and first == again | {"within_s": first["within_s"]}
    assert (first["call"], first["method"], first["path"], first["url"]) == (call.pk, "GET", "/api/version", "")
    assert box.claim("another hand of this agent") is None
    assert box.post(f"calls/{call.pk}/beat", done_bytes=1).json() == {"go_on": True}
    assert box.answer(call.pk, b'{"version": "0.33.0"}').json() == {"go_on": True}
    assert box.answer(call.pk, b'{"version": "9"}').json() == {"go_on": False}
    assert box.post(f"calls/{call.pk}/beat").json() == {"go_on": False}
    with factories.inside(box.client):
        assert bytes(HostCall.objects.get().answer) == b'{"version": "0.33.0"}'


def test_the_token_of_another_clients_host_opens_nothing_of_it(box: Box, client: Client) -> None:
    digest = hashlib.sha256(b"a model").hexdigest()
    with factories.inside(client):
        store_of(client.pk).put_bytes(b"a model")
    other = Box(factories.make_client(client.agency, "birch"), "theirs")
    call = box.called(Wanted("POST", f"/api/blobs/sha256:{digest}", digest=digest, size_bytes=7))

    assert other.claim() is None
    assert other.post(f"calls/{call.pk}/beat").json() == {"go_on": False}
    assert other.answer(call.pk, b"{}").json() == {"go_on": False}
    claimed = box.claim()
    assert claimed is not None and claimed["call"] == call.pk


def test_the_address_of_a_file_opens_it_in_pieces_while_its_call_lives(box: Box, client: Client) -> None:
    with factories.inside(client):
        digest = store_of(client.pk).put_bytes(b"a model")
    call = box.called(Wanted("POST", f"/api/blobs/sha256:{digest}", digest=digest, size_bytes=7))
    told = box.claim()
    assert told is not None

    def fetch(begin: int) -> HttpResponse:
        return Browser().get(told["url"], headers={"Range": f"bytes={begin}-"})

    assert (fetch(0).getvalue(), fetch(2).getvalue(), fetch(7).status_code) == (b"a model", b"model", 416)
    assert Browser().get(told["url"][:-2], headers={"Range": "bytes=0-"}).status_code == 403
    with factories.inside(client):
        agents.revoke_agent(box.host, actor="owner", reason="sold", now=timezone.now())
    assert fetch(0).status_code == 403
    with factories.inside(client):
        HostAgent.objects.update(revoked_at=None)
        HostCall.objects.filter(pk=call.pk).delete()
    assert fetch(0).status_code == 403


@pytest.mark.django_db(transaction=True)
def test_a_hosts_calls_are_those_of_any_other_host(box: Box, client: Client) -> None:
    answers: dict[str, tuple[int, Any]] = {
        "/api/version": (200, {"version": "0.33.0"}),
        "/api/ps": (200, {"models": []}),
        "/api/tags": (500, {"error": "no space left on device"}),
        "/api/show": (404, {"error": "model 'x' not found"}),
    }
    with factories.inside(client), box.serving(answers) as asked, closing(open_row(box.host, 20.0)) as adapter:
        assert adapter.probe().version == "0.33.0"
        assert adapter.show("x") is None
        with pytest.raises(HostRefused, match="no space left"):
            adapter.tags()
    assert asked == ["GET /api/version", "GET /api/ps", "POST /api/show", "GET /api/tags"]
    with factories.inside(client):
        assert not HostCall.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_without_an_agent_the_host_is_down_and_nothing_is_left(box: Box, client: Client) -> None:
    began = time.monotonic()
    with factories.inside(client), closing(open_row(box.host, 1.0)) as adapter:
        with pytest.raises(HostDown, match="no answer in time"):
            adapter.probe()
        agents.revoke_agent(box.host, actor="owner", reason="sold", now=timezone.now())
        with pytest.raises(HostDown, match="nobody takes the connection"):
            adapter.probe()
        assert not HostCall.objects.exists()
    assert time.monotonic() - began < 10


@pytest.mark.django_db(transaction=True)
def test_a_child_reaches_it_by_a_loopback_address_with_a_secret(box: Box, client: Client) -> None:
    answers = {"/api/version": (200, {"version": "0.33.0"}), "/api/ps": (200, {"models": []})}
    with factories.inside(client), box.serving(answers) as asked:
        spec, secret = for_child(box.host), secret_for_child(box.host)
        opened = (spec["kind"], spec["url"], Access.of(secret), 20.0, spec["allow_private"])
        with closing(open_host(*opened)) as adapter:
            assert adapter.probe().version == "0.33.0"
        assert httpx2.get(f"{spec['url']}/api/version").status_code == 403
    assert asked == ["GET /api/version", "GET /api/ps"]


def record(version: ModelVersion, number: int, **more: Any) -> dict[str, Any]:
    at = datetime.now(UTC)
    made = Record(
        client_id=0, agency_id=0, pipeline_id=version.pipeline_id, version_id=version.pk, rollout_id=None,
        request_id=f"{number:032x}", host="elsewhere", arm="production", key_hash="k", at=at, finished_at=at,
        latency_ms=12.5, status=200, is_error=False, is_transport_error=False, is_bad=False, is_after_load=False,
        input_tokens=3, output_tokens=4, body=KeptBody('{"messages": []}', "an answer", "d"),
    )  # fmt: skip
    plain = asdict(made) | {"at": at.isoformat(), "finished_at": at.isoformat()} | more
    return {name: value for name, value in plain.items() if name not in ("client_id", "agency_id", "host")}


@pytest.fixture
def version(client: Client) -> ModelVersion:
    run = factories.make_production(factories.make_pipeline(client))
    with factories.inside(client):
        found: ModelVersion = run.model_version
    return found


def test_records_count_once_under_the_agents_own_client_and_host(box: Box, version: ModelVersion) -> None:
    batch = [record(version, number) for number in (1, 2, 2)]
    assert box.post("records", records=batch).json() == {"taken": 3, "refused": 0}
    assert box.post("records", records=batch).json() == {"taken": 3, "refused": 0}
    with factories.inside(box.client):
        rows = list(Exchange.objects.all())
        assert {(row.host, row.client_id, row.output_tokens) for row in rows} == {("shop", box.client.pk, 4)}
        assert (len(rows), sum(Traffic.objects.values_list("requests", flat=True))) == (2, 2)
        assert not Body.objects.exists()  # The client never asked for them to be kept.


def test_a_wrong_clock_beside_the_host_moves_no_evidence(box: Box, version: ModelVersion) -> None:
    here = datetime.now(UTC)
    for number, skew in enumerate((timedelta(hours=-3), timedelta(hours=3))):
        there = (here + skew).isoformat()
        one = record(version, number, at=there, finished_at=there)
        assert box.post("records", records=[one], sent_at=there).json() == {"taken": 1, "refused": 0}
    with factories.inside(box.client):
        times = list(Exchange.objects.values_list("at", flat=True))
    assert all(abs(at - here) < timedelta(seconds=30) for at in times)


def test_an_outage_of_headquarters_moves_no_evidence(
    box: Box, version: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered_at = timezone.now() - timedelta(days=2)
    clock = iter((answered_at, answered_at + timedelta(days=1), timezone.now()))

    class Away(Link):
        outage = 2

        def once(self, method: str, url: str, body: bytes | None = None, headers: Any = None) -> Answer:
            if self.outage:
                self.outage -= 1
                raise OSError("no route to host")
            answer = Browser().post("/rest/v1/agent/records", body, "application/json", headers=box.headers)
            return Answer(answer.status_code, answer.content, {})

    monkeypatch.setattr(spool, "now", lambda: next(clock))
    kept = spool.Spool(Away("https://retune.example", "ra_x", pause_s=0.01, room="agent"), tmp_path)
    kept.open()
    terms = {"agency_id": box.client.agency_id, "client_id": box.client.pk, "host": "shop", "body": None}
    one = record(version, 1) | terms | {"at": answered_at, "finished_at": answered_at}
    kept.write(box.client.pk, [Record(**one)])
    kept.send()
    with factories.inside(box.client):
        assert list(Exchange.objects.values_list("at", "finished_at")) == [(answered_at, answered_at)]


def test_records_that_come_weeks_late_count_once_in_their_hour_and_day(box: Box, version: ModelVersion) -> None:
    """Also those of a minute whose first requests headquarters had already, and has forgotten but for its hour."""
    answered_at = (timezone.now() - timedelta(days=20)).replace(second=30)
    at = answered_at.isoformat()
    late = [record(version, number, at=at, finished_at=at) for number in (1, 2)]
    for number, batch in enumerate((late[:1], late), 1):
        assert box.post("records", records=batch).json() == {"taken": number, "refused": 0}
        if number == 1:
            with factories.inside(box.client):
                roll_up(box.client.pk, answered_at + timedelta(days=1))  # When the minute was young.
    roll_up_all(timezone.now())
    forget_old_traffic(timezone.now())
    with factories.inside(box.client):
        assert dict(TrafficSpan.objects.values_list("unit", "requests")) == {"hour": 2, "day": 2}
        assert not Traffic.objects.exists()


def test_what_is_no_record_of_this_client_is_refused_and_holds_nothing_back(box: Box, version: ModelVersion) -> None:
    other = factories.make_production(factories.make_pipeline(factories.make_client(box.client.agency, "birch")))
    with factories.inside(other):
        theirs = other.model_version
    foreign = Box(other.client, "theirs")
    foreign.post("records", records=[record(theirs, 9)])
    late = (datetime.now(UTC) - timedelta(days=100)).isoformat()
    wrong = [
        record(theirs, 1),
        record(version, 2, pipeline_id=theirs.pipeline_id),
        record(version, 3, rollout_id=10**9),
        record(version, 4, arm="other"),
        record(version, 5, at=late),
        record(version, 6, at=(datetime.now(UTC) + timedelta(hours=1)).isoformat()),
        record(version, 7, latency_ms="fast"),
        record(version, 8, request_id="a\x00b"),
        record(version, 9),
        {"request_id": "nothing else"},
    ]
    assert box.post("records", records=[*wrong, record(version, 10)]).json() == {"taken": 1, "refused": len(wrong)}
    with factories.inside(box.client):
        assert list(Exchange.objects.values_list("request_id", flat=True)) == [f"{10:032x}"]
    with factories.inside(other):
        assert Exchange.objects.count() == 1


@pytest.fixture
def waiting(transactional_db: None, tmp_path: Path) -> Iterator[Any]:
    """The gateway's door, asked with a token."""
    gateway = Gateway("hq", tmp_path)
    gateway.doors[AGENT_PATH] = AgentDoor(gateway.follower, wait_s=3.0).answer
    with asgi_server(beside(gateway, nothing_else)) as url, httpx2.Client(timeout=30) as http:

        def wait(token: str, **asked: Any) -> httpx2.Response:
            headers = {"Authorization": f"Bearer {token}"}
            return http.get(f"{url}/v1/agent/wait", params=asked, headers=headers)

        yield wait


def test_the_gateway_tells_an_agent_its_own_routes_at_once_and_a_new_one_within_a_second(waiting: Any) -> None:
    client = factories.make_client(slug="acorn")
    box, elsewhere = Box(client), factories.make_host(client, "cloud")
    pipeline = factories.make_pipeline(client)
    runs = [factories.make_production(pipeline) for _ in range(2)]
    with factories.inside(client):
        first, second = (run.model_version for run in runs)
        flip(first, timezone.now())
    keys = [hashlib.sha256(factories.make_key(client, "gateway").encode()).hexdigest()]
    wait_for(lambda: waiting(box.token).json()["client"]["keys"] == keys, within_s=30)
    told = waiting(box.token).json()
    entry = told["client"]["pipelines"]["support"]
    places = [place for target in entry["targets"].values() for place in target["places"]]
    assert entry["production"] == 1
    assert {(place["host"], place["url"]) for place in places} == {("shop", "")}
    assert elsewhere.name not in json.dumps(told)

    def flips() -> None:
        time.sleep(1.0)
        with factories.inside(client):
            flip(second, timezone.now())
        connection.close()

    thread = threading.Thread(target=flips)
    thread.start()
    began = time.monotonic()
    news = waiting(box.token, have=told["digest"]).json()
    took_s = time.monotonic() - began
    thread.join()
    assert news["client"]["pipelines"]["support"]["production"] == 2
    assert 1.0 <= took_s < 2.5


def test_the_gateway_tells_an_agent_that_it_is_called_and_nobody_elses_agent(waiting: Any) -> None:
    client = factories.make_client(slug="acorn")
    box, other = Box(client), Box(factories.make_client(client.agency, "birch"), "theirs")
    have, theirs = waiting(box.token).json()["digest"], waiting(other.token).json()["digest"]
    call = box.called(Wanted("GET", "/api/version"))
    told = waiting(box.token, have=have).json()
    assert told == {"digest": have, "called": call.pk, "client": None}
    box.claim()
    assert waiting(other.token, have=theirs).json() == {"digest": theirs, "called": 0, "client": None}


def test_after_a_restore_an_agent_hears_of_calls_whose_numbers_it_has_passed(waiting: Any) -> None:
    box = Box(factories.make_client(slug="acorn"))
    have = waiting(box.token).json()["digest"]
    assert waiting(box.token, have=have, called=10**6).json()["called"] == 0
    call = box.called(Wanted("GET", "/api/version"))
    assert waiting(box.token, have=have, called=10**6).json()["called"] == call.pk
    began = time.monotonic()
    assert waiting(box.token, have=have, called=0).json()["called"] == call.pk
    assert time.monotonic() - began < 2.0


def test_no_key_opens_the_door_of_agents_and_no_agents_token_that_of_models(waiting: Any) -> None:
    client = factories.make_client(slug="acorn")
    box, key = Box(client), factories.make_key(client, "gateway")
    assert waiting(key).status_code == 401
    assert waiting("ra_nobody").status_code == 401
    assert waiting(box.token).status_code == 200
    with factories.inside(client):
        agents.revoke_agent(box.host, actor="owner", reason="sold", now=timezone.now())
    wait_for(lambda: waiting(box.token, have="x").status_code == 401, within_s=30)
