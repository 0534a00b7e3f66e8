"""Who is asking and whose rows that opens: the scope of a request; odd addresses; the content security policy."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.cache import patch_vary_headers

from agency import viewing
from agency.actor import Actor, actor_of
from agency.portal.views.errors import no_room, refused
from pipelines.artifacts import StoreFull
from tenants import scope
from tenants.people.four_eyes import TwoPeopleNeeded

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
GetResponse = Callable[[HttpRequest], HttpResponse]


class AddressMiddleware:
    """PostgreSQL keeps no NUL character, so no address names anything by one: no page need think of it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "\x00" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest
        return self.get_response(request)


class SecurityPolicyMiddleware:
    """Strict CSP on every answer: nothing inline, nothing from elsewhere; where there is TLS, only by it.

    What somebody signed in is shown is kept by no cache and no browser: after signing out, Back shows nothing.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.setdefault("Content-Security-Policy", POLICY)
        response.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
        if request.user.is_authenticated:
            response.setdefault("Cache-Control", "no-store")
        if settings.IS_HTTPS:
            response.setdefault("Strict-Transport-Security", "max-age=31536000")
        return response


class ScopeMiddleware:
    """Puts `request.actor` in place, and `request.own_actor`: who signed in, whoever's eyes he looks through.

    The scope itself opens in each view's first line (agency.actor.open_client ...).
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with scope.entered(None):  # Whatever a view opens ends with its request.
            actor: Actor = actor_of(request.user) if request.user.is_authenticated else Actor()
            request.own_actor = actor  # type: ignore[attr-defined]
            actor, request.viewing = viewing.seen(request, actor)  # type: ignore[attr-defined]
            request.actor = actor  # type: ignore[attr-defined]
            if actor.agency_id is not None:
                with scope.agency_scope(actor.agency_id):
                    return self.get_response(request)
            return self.get_response(request)


class ReadOnlyMiddleware:
    """Whoever looks as somebody else changes nothing, by any method, anywhere: only to stop it is allowed."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: object, args: object, kwargs: object) -> None:
        name = request.resolver_match.url_name if request.resolver_match else ""
        is_looking = request.viewing is not None and request.method not in ("GET", "HEAD", "OPTIONS")  # type: ignore[attr-defined]
        if is_looking and name not in ("stop-viewing", "logout"):
            raise PermissionDenied

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """A page that does not know of four eyes still says so."""
        return refused(request, str(exception)) if isinstance(exception, TwoPeopleNeeded) else None


class FullDiskMiddleware:
    """Whatever a page was to keep: that the disk is full is said, and is no fault of the program."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return no_room(request, exception) if isinstance(exception, StoreFull) else None


class LanguageMiddleware:
    """Clients' people, and whoever is not signed in, read in their browser's language; the report is in its client's.

    Staff pages and the API are English: a page that is half translated is worse than one that is not.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        actor: Actor = request.actor  # type: ignore[attr-defined]
        is_english = actor.has_staff_role or request.path.startswith("/rest/")
        language = "en" if is_english else translation.get_language_from_request(request)
        with translation.override(language):
            request.LANGUAGE_CODE = language
            response = self.get_response(request)
        response.setdefault("Content-Language", language)
        patch_vary_headers(response, () if is_english else ("Accept-Language",))
        return response
