"""One person's rows of a client: found by words, seen with their places, erased with a reason.

Words come by POST: a name in an address would stay in logs and histories.
"""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.actor import open_client
from agency.htmx import go
from agency.leaving.person.forget import forget
from agency.leaving.person.needle import LEAST, MOST, Needle
from agency.leaving.person.search import Found, find
from agency.portal.context import client_page, who
from agency.portal.forms.fields import ReasonForm, RetuneForm
from pipelines.actions.refused import ActionRefused
from tenants import access, scope
from tenants.models import Client


class WordsForm(RetuneForm):
    words = forms.CharField(
        label=gettext_lazy("Name, address or number of the person"),
        min_length=LEAST,
        max_length=MOST,
        help_text=gettext_lazy("Found anywhere inside a text. Ask again for each way in which the person is written."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class ForgetForm(ReasonForm):
    """`seen` is how many places the person saw who decides: what came since is looked at first."""

    words = forms.CharField(widget=forms.HiddenInput, min_length=LEAST, max_length=MOST)
    seen = forms.IntegerField(widget=forms.HiddenInput)

    def agree(self, found: Found) -> None:
        if self.cleaned_data["seen"] != found.count:
            self.add_error(None, ValidationError(_("What holds these words changed meanwhile: look at it again.")))


def person(request: HttpRequest, slug: str) -> HttpResponse:
    row = open_client(request, slug, access.ADMINISTER)
    if request.method == "POST" and "seen" in request.POST:
        return _forget(request, row)
    form = WordsForm(request.POST or None)
    found = find(row, Needle(form.cleaned_data["words"])) if form.is_valid() else None
    last = None
    if found is not None:
        last = ForgetForm(initial={"words": form.cleaned_data["words"], "seen": found.count})
    return _page(request, row, 422 if form.errors else 200, form=form, found=found, last=last)


def _forget(request: HttpRequest, row: Client) -> HttpResponse:
    last = ForgetForm(request.POST)
    found = None
    if last.is_valid():
        needle = Needle(last.cleaned_data["words"])
        found = find(row, needle)
        last.agree(found)
        if last.is_valid() and _forgotten(request, row, needle, last):
            return go(request, reverse("leaving", args=[row.slug]))
        last.data = {"words": needle.text, "reason": last.cleaned_data.get("reason", ""), "seen": found.count}
    words = WordsForm(initial={"words": request.POST.get("words", "")})
    return _page(request, row, 422, form=words, found=found, last=last)


def _forgotten(request: HttpRequest, row: Client, needle: Needle, form: ForgetForm) -> bool:
    try:
        with scope.client_scope(row.pk, row.agency_id):
            told = forget(row, needle, actor=who(request), reason=form.cleaned_data["reason"], now=timezone.now())
    except ActionRefused as refused:
        form.add_error(None, str(refused))
        return False
    words = {"rows": sum(told["rows"].values()), "files": len(told["files"])}
    messages.success(
        request, _("Erased from %(rows)s rows and %(files)s files. The ledger says which versions.") % words
    )
    return True


def _page(request: HttpRequest, row: Client, status: int, **given: object) -> HttpResponse:
    return client_page(request, row, "portal/leaving/person.html", status, **given)
