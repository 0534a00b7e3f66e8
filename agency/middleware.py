"""Who is asking and whose rows that opens: the scope of a request; and the content security policy."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from agency.actor import Actor, actor_of
from tenants import scope

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
GetResponse = Callable[[HttpRequest], HttpResponse]


class SecurityPolicyMiddleware:
    """Strict CSP on every answer: nothing inline, nothing from elsewhere."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.setdefault("Content-Security-Policy", POLICY)
        response.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
        return response


class ScopeMiddleware:
    """Puts `request.actor` in place.

    The scope itself opens in each view's first line (agency.actor.open_client ...).
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with scope.entered(None):  # Whatever a view opens ends with its request.
            actor: Actor = actor_of(request.user) if request.user.is_authenticated else Actor()
            request.actor = actor  # type: ignore[attr-defined]
            if actor.agency_id is not None:
                with scope.agency_scope(actor.agency_id):
                    return self.get_response(request)
            return self.get_response(request)
