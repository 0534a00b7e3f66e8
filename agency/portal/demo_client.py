"""A small client to try everything with: made-up rows and criteria, no results. What it shows, its own runs made."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import transaction

from agency.demo.clients import heronbrook
from agency.demo.pace import TINY
from agency.portal.probe import ask
from pipelines.actions import add_examples
from pipelines.fleet import look
from pipelines.fleet.look import Seen
from tenants import actions, scope
from tenants.models import Agency, Client, Host, Pipeline

NAME, SLUG, HOST = "Heronbrook Broadband (demo)", "heronbrook-demo", "here"
SETS = ("heldout", "regression", "safety")


def demo_of(agency: Agency) -> Client | None:
    """The agency's demo client, inside the agency's scope."""
    return Client.objects.filter(agency=agency, is_demo=True).first()


def load_demo(agency: Agency, actor: str, now: datetime) -> Pipeline:
    """The client with its host, pipeline, evaluation sets and the rows of a first version: all of it, or nothing."""
    to_be = Host(agency=agency, name=HOST, url=settings.EMBEDDED_HOST)
    seen = ask(to_be) if settings.EMBEDDED_HOST else Seen()
    told = heronbrook()
    with transaction.atomic():
        client = actions.create_client(agency, NAME, _free_slug(), actor, now, told.timezone, is_demo=True)
        with scope.client_scope(client.pk, agency.pk):
            if seen.is_up:
                look.keep(actions.add_host(client, HOST, to_be.url, actor, now), seen, now)
            pipeline = actions.create_pipeline(client, "Sorting", told.pipeline, _body(seen.is_up), actor, now)
            for kind in SETS:
                actions.put_eval_set(pipeline, kind, told.cases(kind), actor, now, note=NAME)
            add_examples(pipeline, told.rows("v1").splitlines(), token=f"demo-{uuid4().hex}", actor=actor, now=now)
    return pipeline


def _body(has_host: bool) -> dict[str, Any]:
    """As the demo's acts play it, a rollout in minutes; but nothing starts by itself, and nobody gets a mail."""
    quiet = {"schedule": None, "new_examples": None, "quality_below": None, "cooldown_s": 0}
    return heronbrook().settings(TINY) | {"triggers": quiet, "recipients": [], "hosts": [HOST] if has_host else []}


def _free_slug() -> str:
    """Short names are unique in the installation, and other agencies' cannot be seen from here."""
    return f"{SLUG}-{uuid4().hex[:6]}"
