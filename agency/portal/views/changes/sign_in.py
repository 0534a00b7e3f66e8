"""The page on which an owner says what the agency asks of signing in."""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.accounts.demands import FACTORS, has_factor
from agency.actor import open_agency
from agency.htmx import go
from agency.portal.context import who
from agency.portal.forms.fields import ReasonForm
from tenants import access
from tenants.models import Agency, Membership, Role
from tenants.people.sign_in import Rules, set_rules

FACTOR = (("", gettext_lazy("everybody chooses")), ("yes", gettext_lazy("asked of all staff")))
HOURS = (
    ("", gettext_lazy("two weeks")),
    ("168", gettext_lazy("one week")),
    ("24", gettext_lazy("24 hours")),
    ("12", gettext_lazy("12 hours")),
)
MINUTES = (
    ("", gettext_lazy("no limit")),
    ("240", gettext_lazy("4 hours")),
    ("60", gettext_lazy("one hour")),
    ("30", gettext_lazy("30 minutes")),
)


class RulesForm(ReasonForm):
    factor = forms.ChoiceField(
        label=gettext_lazy("A second factor"),
        required=False,
        choices=FACTOR,
        help_text=gettext_lazy("An authenticator app or a passkey. Whoever has none sets one up with the next click."),
    )
    hours = forms.TypedChoiceField(
        label=gettext_lazy("A session ends after"), required=False, choices=HOURS, coerce=int, empty_value=None
    )
    minutes = forms.TypedChoiceField(
        label=gettext_lazy("And when no page was opened for"),
        required=False,
        choices=MINUTES,
        coerce=int,
        empty_value=None,
        help_text=gettext_lazy("A page that refreshes itself does not count."),
    )
    field_order = ("factor", "hours", "minutes", "reason")

    def __init__(self, rules: Rules, *args: Any, **kwargs: Any) -> None:
        shown = {"factor": "yes" if rules.needs_factor else "", "hours": rules.session_hours or ""}
        kwargs.setdefault("initial", shown | {"minutes": rules.idle_minutes or ""})
        super().__init__(*args, **kwargs)

    @property
    def wanted(self) -> Rules:
        given = self.cleaned_data
        return Rules(given["factor"] == "yes", given["hours"], given["minutes"])


def sign_in_rules(request: HttpRequest) -> HttpResponse:
    """Staff see what is asked; an owner changes it."""
    actor = open_agency(request, access.ADMINISTER if request.method == "POST" else access.VIEW)
    agency = Agency.objects.get(pk=actor.agency_id or 0)
    form = RulesForm(Rules.of(agency), request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        if form.wanted.needs_factor and not has_factor(request.user):
            form.add_error("factor", _("Set up your own first, under your name at the top: you would be shut out."))
        else:
            set_rules(agency, form.wanted, who(request), timezone.now(), form.cleaned_data["reason"])
            messages.success(request, _("Saved."))
            return go(request, reverse("sign-in-rules"))
    given = {"form": form, "without": _without(), "may_administer": actor.may(access.ADMINISTER), "agency": agency}
    return TemplateResponse(request, "portal/changes/sign_in.html", given, status=422 if form.errors else 200)


def _without() -> list[str]:
    """The staff that has no factor yet, by address."""
    ready = Authenticator.objects.filter(type__in=FACTORS).values("user_id")
    staff = Membership.objects.exclude(role=Role.READER).exclude(user_id__in=ready)
    return list(staff.order_by("user__email").values_list("user__email", flat=True).distinct())
