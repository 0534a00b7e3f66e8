"""Whose channels somebody keeps: the agency's and all clients', or those of the clients that they are staff of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from agency.actor import Actor, open_agency
from agency.portal.context import actor_of
from tenants import access, scope
from tenants.models import Channel, Client


@dataclass(frozen=True)
class Desk:
    """`clients` are the numbers of those that a verb is allowed at; None: the whole agency."""

    actor: Actor
    agency_id: int
    clients: frozenset[int] | None

    @property
    def may_configure(self) -> bool:
        return (self.clients is None and self.actor.may(access.CONFIGURE)) or bool(self._allowed(access.CONFIGURE))

    def _allowed(self, verb: str) -> frozenset[int]:
        return _allowed(self.actor, self.agency_id, verb)

    def channels(self) -> QuerySet[Channel]:
        found: QuerySet[Channel] = Channel.objects.select_related("client")
        return found if self.clients is None else found.filter(client__in=self.clients)

    def offered(self) -> list[Client]:
        """Whose channels may be added here."""
        rows = Client.objects.order_by("name")
        return list(rows if self.clients is None else rows.filter(pk__in=self._allowed(access.CONFIGURE)))


def _allowed(actor: Actor, agency_id: int, verb: str) -> frozenset[int]:
    here = (grant for grant in actor.grants if grant.agency_id == agency_id and access.can(grant.role, verb))
    return frozenset(grant.client_id for grant in here if grant.client_id is not None)


def _opened(request: HttpRequest, verb: str) -> Desk:
    """The desk, or 404."""
    actor = actor_of(request)
    if actor.agency_id is not None:
        return Desk(open_agency(request, verb), actor.agency_id, None)
    agency_id = next((grant.agency_id for grant in actor.grants if access.can(grant.role, verb)), None)
    if agency_id is None:
        raise Http404
    return Desk(actor, agency_id, _allowed(actor, agency_id, verb))


def at_desk(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Gives the view its desk after the request, the agency's scope around it; a POST takes who may configure."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        desk = _opened(request, access.CONFIGURE if request.method == "POST" else access.VIEW)
        with scope.agency_scope(desk.agency_id):
            response = view(request, desk, *args, **kwargs)
            return response.render() if isinstance(response, TemplateResponse) else response

    return answer
