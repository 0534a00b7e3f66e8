"""The person or key behind a request: the first line of every view and operation asks it to open what it may see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.http import Http404, HttpRequest

from tenants import access, crossing, scope
from tenants.models import Client, Membership, Pipeline
from tenants.people.sign_in import Rules


@dataclass(frozen=True)
class Grant:
    """One membership: a role in an agency, or (readers, staff of named clients) at one client of it.

    `client`: that client's short name. `rules`: what that agency asks of the person's session.
    """

    agency_id: int
    client_id: int | None
    role: str
    rules: Rules = field(default_factory=Rules)
    client: str = ""

    def may_hold(self, slug: str) -> bool:
        """Whether it is worth looking for that client in this grant's scope."""
        return self.client_id is None or self.client == slug

    def covers(self, client: Client, verb: str) -> bool:
        inside = self.client_id == client.pk if self.client_id else self.agency_id == client.agency_id
        return inside and access.can(self.role, verb)


@dataclass(frozen=True)
class Actor:
    """`agency_id` is set for staff of the whole agency; others have grants at single clients; a stranger has none."""

    name: str = ""
    grants: tuple[Grant, ...] = field(default_factory=tuple)

    @property
    def agency_id(self) -> int | None:
        return next((g.agency_id for g in self.grants if g.client_id is None), None)

    @property
    def is_staff(self) -> bool:
        return self.agency_id is not None

    @property
    def has_staff_role(self) -> bool:
        """Of the whole agency, or of named clients."""
        return any(access.can(g.role, access.VIEW) for g in self.grants)

    @property
    def may_configure(self) -> bool:
        """For templates, which cannot ask with a verb."""
        return self.may(access.CONFIGURE)

    def may(self, verb: str) -> bool:
        """Whether staff may do it anywhere in the agency."""
        return any(access.can(g.role, verb) for g in self.grants if g.client_id is None)


def actor_of(user: Any) -> Actor:
    """One query for each agency, however many clients a person sees there."""
    found: dict[int, list[int]] = {}
    for agency_id, _client_id, pk in crossing.ask("memberships_of_user", user=user.pk):
        found.setdefault(agency_id, []).append(pk)
    return Actor(name=user.email, grants=tuple(grant for one in found.items() for grant in _grants(*one)))


def _grants(agency_id: int, memberships: list[int]) -> list[Grant]:
    with scope.agency_scope(agency_id):
        rows = Membership.objects.select_related("agency", "client").filter(pk__in=memberships).order_by("pk")
        return [
            Grant(agency_id, row.client_id, row.role, Rules.of(row.agency), row.client.slug if row.client else "")
            for row in rows
        ]


def open_agency(request: HttpRequest, verb: str = access.VIEW) -> Actor:
    """The staff actor, or 404."""
    actor: Actor = request.actor  # type: ignore[attr-defined]
    if not actor.is_staff or not actor.may(verb):
        raise Http404
    return actor


def open_client(request: HttpRequest, slug: str, verb: str) -> Client:
    """The client `slug` if the actor may `verb` there, and its scope for the rest of the request; else 404."""
    actor: Actor = request.actor  # type: ignore[attr-defined]
    for grant in actor.grants:
        client = _client_of(grant, slug) if grant.may_hold(slug) else None
        if client is not None and grant.covers(client, verb):
            scope.narrow(client.pk, client.agency_id)
            return client
    raise Http404


def _client_of(grant: Grant, slug: str) -> Client | None:
    wanted = scope.Scope(agency_id=grant.agency_id, client_id=grant.client_id)
    with scope.entered(wanted), transaction.atomic():
        return Client.objects.filter(slug=slug).first()


def open_pipeline(request: HttpRequest, client_slug: str, slug: str, verb: str) -> Pipeline:
    """The pipeline, its client's scope entered; else 404."""
    client = open_client(request, client_slug, verb)
    found = Pipeline.objects.select_related("client", "revision").filter(client=client, slug=slug).first()
    if found is None:
        raise Http404
    return found
