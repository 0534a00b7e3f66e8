"""The world behind the doors: what stands at acorn when visitors knock, and how each address and body is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.test import Client as Browser
from django.urls import URLPattern, get_resolver, reverse
from django.utils import timezone

from agency.api import api
from pipelines import outbox
from pipelines.models import Batch, Delivery, Example, ModelVersion, Notice, Rollback, Source
from pipelines.notifiers.webhook import new_secret
from tenants import freezing, scope, sharing, training
from tenants.following.presets import create_preset
from tenants.judges import allow_judge
from tenants.machines import add_machine
from tenants.machines.agents import add_agent_host
from tenants.models import ApiKey, Client, Erasure, Membership, Pipeline, Role
from tenants.people import four_eyes
from tenants.people.four_eyes import Wish
from tenants.people.invitations import invite
from tenants.telling import choices
from tenants.telling.channels import Leads, add_channel
from tests import factories
from tests.web.roles import Door

# What an address or a body needs beyond the world's own.
HOST_DOORS = (
    "adopt", "host", "probe-host", "host-access", "host-terms", "drain-host", "undrain-host", "read_host", "drain_host",
    "undrain_host",
)  # fmt: skip
MACHINE_DOORS = ("list_inputs", "beat_job", "read_parts", "put_part", "hand_in_job", "fail_job")
KWARGS: dict[str, dict[str, Any]] = {
    "withdraw-judge": {"name": "wise"},
    "withdraw-training": {"name": "studio"},
    "take-back-training": {"name": "studio"},
    "eval-set": {"kind": "heldout"},
    "eval-case": {"kind": "heldout"},
    "comparison-case": {"kind": "heldout"},
    **{door: {"name": "shop"} for door in HOST_DOORS},
    **{door: {"name": "behind"} for door in ("renew-agent", "revoke-agent")},
    "channel-act": {"name": "on"},
    "order-machine": {"name": "pause"},
    "decide": {"name": "approve", "number": 2},
    "rerun": {"stage": "evaluate", "number": 2},
    "decide-proposal": {"name": "decline"},
    "decide-client-proposal": {"name": "decline"},
    "order_rollout": {"order": "pause"},
    "withdraw": {"kind": "source"},
    **{door: {"job": 1, "name": "adapter"} for door in MACHINE_DOORS},
    "fetch_input": {"ticket": "nothing"},
    "fetch_upload": {"ticket": "nothing"},
    "beat_call": {"call": 1},
    "answer_call": {"call": 1},
    "mfa_edit_webauthn": {"pk": 1},
    "mfa_remove_webauthn": {"pk": 1},
}
QUERIES = {"comparison-case": "?case=c1"}
BODIES: dict[str, Any] = {
    "upload_examples": b'{"input": "Where is my parcel?", "output": "delivery"}\n',
    "import_a_model": b"GGUF",
    "order_run": {"reason": "asked by a test"},
    "order_rerun": {"stage": "evaluate", "reason": "asked by a test"},
    "pause_pipeline": {"reason": "asked by a test"},
    "resume_pipeline": {"reason": "asked by a test"},
    "order_rollout": {"reason": "asked by a test"},
    "drain_host": {"reason": "asked by a test"},
    "undrain_host": {"reason": "asked by a test"},
    "set_freeze": {"reason": "asked by a test"},
    "lift_freeze": {"reason": "asked by a test"},
    "change_settings": {"settings": factories.settings_body(), "base": 1, "dry_run": True},
    "order_waiver": {"gate": "accuracy", "reason": "asked by a test", "days": 7},
    "end_waiver": {"reason": "asked by a test"},
    "order_rollback": {"to": 1, "reason": "asked by a test"},
    "send_feedback": {"request_id": "unknown", "is_good": True},
}
REST_PAGES = ("openapi-json", "openapi-view", "api-root")


@dataclass(frozen=True)
class World:
    """A client with one pipeline: version 1 in production, run 2 held, a batch, a host, a key."""

    client: Client
    pipeline: Pipeline
    address: dict[str, Any]


def build(client: Client) -> World:
    pipeline = factories.make_pipeline(client)
    factories.make_production(pipeline)
    factories.make_run(pipeline, at="compare", status="held")
    factories.make_key(client)
    with factories.inside(client):
        fields = {"name": "wise", "kind": "ollama", "url": "http://127.0.0.1:9", "model": "wise", "key_name": ""}
        allow_judge(client, fields, "tests", factories.NOW)
        batch, key, example = Batch.objects.first(), ApiKey.objects.first(), Example.objects.first()
        source = Source.of(pipeline, pipeline=pipeline, name="archive", created_at=factories.NOW)
        source.save()
        version = ModelVersion.objects.earliest("pk")
        both = dict.fromkeys(("from_version", "to_version"), version) | {"phase": "person", "metric": "decision"}
        both |= dict.fromkeys(("decided_at", "flipped_at"), factories.NOW) | {"decided_by": "tests"}
        back = Rollback.of(pipeline, pipeline=pipeline, **both)
        back.save()
        link, token = sharing.issue_link(client, None, "the board", 3650, "tests", timezone.now())
        frozen = freezing.freeze(pipeline, actor="tests", reason="asked by a test", now=factories.NOW)
    assert batch is not None and key is not None and example is not None
    person = factories.make_member(client.agency, Role.VIEWER)
    with scope.agency_scope(client.agency_id):
        member = Membership.objects.get(user=person).pk
        given = {"role": Role.VIEWER, "client": None, "actor": "boss@north.example", "now": timezone.now()}
        factories.make_member(client.agency, Role.OWNER, email="boss@north.example")
        invited, ticket = invite(client.agency, "guest@north.example", **given)
        asked = {"actor": "boss@north.example", "now": timezone.now()}
        switch = four_eyes.propose(client.agency, Wish("four-eyes.switch", "north", "asked by a test"), **asked)
        proposal = four_eyes.propose(pipeline, Wish("run.approve", "support run 2", "asked by a test"), **asked)
    address = {"slug": client.slug, "pipeline_slug": "support", "number": 1, "prefix": key.prefix, "batch_id": batch.pk}
    address |= {"upload": batch.pk, "source": source.pk, "pk": source.pk}
    address |= {"row": example.pk}
    with scope.agency_scope(client.agency_id):
        gone = {"slug": "gone", "name": "Gone", "reason": "asked by a test", "ordered_by": "tests", "certificate": "{}"}
        erasure = Erasure.objects.create(agency=client.agency, former_id=0, ordered_at=factories.NOW, **gone)
        address |= channel_of(pipeline)
        address["leaving"] = choices.ticket(choices.Leaving(client.agency_id, client.pk, "someone@north.example"))
        preset = create_preset(client.agency, "Careful", "careful", {}, "tests", factories.NOW)
        seat = {"name": "studio", "url": "http://127.0.0.1:9/v1", "model": "tiny", "base": "tiny"}
        service = training.add_service(client.agency, seat, "", "tests", factories.NOW)
        box, _token = add_machine(client.agency, "box", ("gpu",), False, actor="tests", now=factories.NOW)
    with factories.inside(client):
        add_agent_host(client, "behind", actor="tests", now=factories.NOW)
        training.allow_service(client, service, "tests", factories.NOW)
    address |= {"rollback": back.pk, "preset": preset.slug}
    address |= {"erasure": erasure.pk, "machine": box.pk}
    address |= {"invitation": invited.pk, "ticket": ticket}
    address |= {"link": link.pk, "token": token}
    address |= {"freeze": frozen.pk, "proposal": proposal.pk, "switch": switch.pk}
    address |= {"member": member, "waiver": factories.make_waiver(pipeline).pk}
    return World(client, pipeline, address)


def channel_of(pipeline: Pipeline) -> dict[str, int]:
    """A channel that one notice went to."""
    leads = Leads("http://127.0.0.1:9/hook", secret=new_secret())
    agency = pipeline.agency
    channel = add_channel(agency, ("ops", "webhook"), leads, ["held"], actor="tests", now=factories.NOW)
    notice = Notice.objects.filter(pipeline=pipeline).first() or outbox.notify_of_host(
        pipeline, "drift:1", "drift", factories.NOW, {"host": "shop", "reason": "asked by a test"}
    )
    fields = {"message_id": "msg_1", "created_at": factories.NOW, "status": "failed", "event": {"subject": "one"}}
    row = Delivery.of(notice, notice=notice, channel=channel, **fields)
    row.save()
    return {"channel": channel.pk, "delivery": row.pk}


def patterns(found: Any = None, namespace: str = "") -> Iterator[tuple[str, URLPattern]]:
    """(namespace, pattern) of every address that the product answers."""
    for entry in get_resolver().url_patterns if found is None else found:
        if isinstance(entry, URLPattern):
            yield namespace, entry
        else:
            yield from patterns(entry.url_patterns, entry.namespace or namespace)


def operations() -> Iterator[tuple[str, str]]:
    """(name, method) of every operation of the API."""
    for _prefix, router in api._routers:
        for view in router.path_operations.values():
            for operation in view.operations:
                yield from ((operation.view_func.__name__, method) for method in operation.methods)


def address(name: str, world: World) -> str:
    """The URL of a page or operation inside the world."""
    namespace, pattern = next(found for found in patterns() if found[1].name == name)
    known = world.address | KWARGS.get(name, {})
    if name == "decide-proposal":
        known["proposal"] = world.address["switch"]
    if namespace:
        known |= {"slug": world.pipeline.slug}  # The API names the pipeline; its key names the client.
    kwargs = {key: value for key, value in known.items() if key in pattern.pattern.converters}
    return reverse(f"{namespace}:{name}" if namespace else name, kwargs=kwargs) + QUERIES.get(name, "")


def knock(browser: Browser, door: Door, world: World) -> HttpResponse:
    """A form that was sent holds something: an empty POST would read as "not sent"."""
    url = address(door.name, world)
    return browser.get(url) if door.method == "GET" else browser.post(url, {"nothing": "useful"})


@dataclass(frozen=True)
class Caller:
    """Somebody at the API: a browser's cookies, a key, or both."""

    browser: Browser
    key: str = ""

    def call(self, door: Door, world: World) -> HttpResponse:
        url, body = address(door.name, world), BODIES.get(door.name)
        headers = {"Idempotency-Key": "one"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        if isinstance(body, bytes):
            return self.browser.generic(door.method, url, body, content_type="application/x-ndjson", headers=headers)
        send = getattr(self.browser, door.method.lower())
        return send(url, body, content_type="application/json", headers=headers)
