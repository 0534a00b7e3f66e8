"""How often one address may try what needs no account: invitations and share links."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.core.internal import ratelimit
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from agency.portal.views.errors import answer

View = Callable[..., HttpResponse]
# By the address that asks; a reader who follows a report's months stays far below.
RATES = {"invitation": "20/m/ip", "shared-report": "60/m/ip"}


def limited(action: str) -> Callable[[View], View]:
    """429 with a sentence for whoever asks more often than the rate of `action`, whatever the method."""

    def decorate(view: View) -> View:
        @wraps(view)
        def inside(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not ratelimit.consume(request, app="retune", action=action, config=RATES, limit_get=True):
                return answer(request, 429, _("Too often"), _("Too many attempts. Try again in a minute."))
            return view(request, *args, **kwargs)

        return inside

    return decorate
