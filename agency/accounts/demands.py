"""What somebody's agencies ask of a session: a second factor, and an end that comes sooner."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from agency.actor import Actor
from agency.htmx import go
from tenants import access
from tenants.models import User
from tenants.people.sign_in import strictest

GetResponse = Callable[[HttpRequest], HttpResponse]
BEGUN, SEEN = "signed_in_at", "seen_at"
# A page that is opened within it of the last one writes nothing.
NOTED_EVERY = timedelta(minutes=1)
FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def has_factor(user: Any) -> bool:
    """An app or a passkey; recovery codes alone are none."""
    return Authenticator.objects.filter(user_id=user.pk, type__in=FACTORS).exists()


def owes_factor(user: Any, actor: Actor) -> bool:
    """Whether an agency that somebody works for asks for a factor that is not set up."""
    asked = any(grant.rules.needs_factor and access.can(grant.role, access.VIEW) for grant in actor.grants)
    return asked and not has_factor(user)


def begin(request: HttpRequest, user: User, **_more: Any) -> None:
    """Hears every sign-in: from here a session's time counts."""
    request.session[BEGUN] = request.session[SEEN] = timezone.now().timestamp()


class DemandsMiddleware:
    """Before a page that wants somebody signed in: ends a session that is over, leads to setting up a factor.

    Pages without an account, keys of the API and signing out are not touched. Looking through somebody else's eyes
    changes nothing: it is the one who signed in that is asked.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: object, args: object, kwargs: object) -> HttpResponse | None:
        if not request.user.is_authenticated or _is_public(request, view):
            return None
        own: Actor = request.own_actor  # type: ignore[attr-defined]
        if _is_over(request, own):
            return _ended(request)
        request.owes_factor = owes_factor(request.user, own)  # type: ignore[attr-defined]
        is_open = request.path.startswith(reverse("mfa_index")) or request.path == reverse("logout")
        if request.owes_factor and not is_open:  # type: ignore[attr-defined]
            return go(request, reverse("mfa_index"))
        return None


def _is_public(request: HttpRequest, view: object) -> bool:
    """A page that needs no account; the first one is such a page while there is no agency, and else everybody's own."""
    return not getattr(view, "login_required", True) and request.path != resolve_url(settings.LOGIN_REDIRECT_URL)


def _is_over(request: HttpRequest, actor: Actor) -> bool:
    limits = strictest(grant.rules for grant in actor.grants)
    if limits.session is None and limits.idle is None:
        return False
    now = timezone.now()
    begun = _time(request, BEGUN) or getattr(request.user, "last_login", None) or now
    seen = _time(request, SEEN) or begun
    if limits.is_over(begun, seen, now):
        return True
    # A part of a page that fetches itself says nothing of whether somebody is there.
    if limits.idle and request.headers.get("HX-Request") != "true" and now - seen >= NOTED_EVERY:
        request.session[SEEN] = now.timestamp()
    return False


def _time(request: HttpRequest, key: str) -> datetime | None:
    said = request.session.get(key)
    return None if said is None else datetime.fromtimestamp(said, UTC)


def _ended(request: HttpRequest) -> HttpResponse:
    """To signing in, and from there to where somebody was; a form's own address does not come back by itself."""
    logout(request)
    messages.info(request, _("Your session is over. Sign in again."))
    back = request.get_full_path() if request.method == "GET" and request.headers.get("HX-Request") != "true" else ""
    return go(request, resolve_url("login") + (f"?{urlencode({'next': back})}" if back else ""))
