"""What every page of a client or pipeline is given: where it is, and what its actor may do there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone

from agency.actor import Actor
from tenants import access
from tenants.models import Client, Pipeline, Proposal
from tenants.people.four_eyes import open_ones


@dataclass(frozen=True)
class May:
    """The verbs of the actor at one client: buttons that would be refused are not offered."""

    operate: bool
    roll_back: bool
    configure: bool
    administer: bool

    @classmethod
    def at(cls, actor: Actor, client: Client) -> May:
        verbs = (access.OPERATE, access.ROLL_BACK, access.CONFIGURE, access.ADMINISTER)
        return cls(*(any(grant.covers(client, verb) for grant in actor.grants) for verb in verbs))


def actor_of(request: HttpRequest) -> Actor:
    actor: Actor = request.actor  # type: ignore[attr-defined]
    return actor


def who(request: HttpRequest) -> str:
    """The name that the ledger keeps."""
    return actor_of(request).name


def client_page(
    request: HttpRequest, client: Client, template: str, status: int = 200, **values: Any
) -> TemplateResponse:
    given = {"client": client, "may": May.at(actor_of(request), client)} | values
    return TemplateResponse(request, template, given, status=status)


def pipeline_page(
    request: HttpRequest, pipeline: Pipeline, template: str, status: int = 200, **values: Any
) -> TemplateResponse:
    """Proposals that wait for a second person stand on every page of the pipeline."""
    rows = Proposal.objects.filter(pipeline=pipeline, outcome="").select_related("client")
    waiting = open_ones(rows, timezone.now())
    given = {"pipeline": pipeline, "proposals": waiting} | values
    return client_page(request, pipeline.client, template, status, **given)
