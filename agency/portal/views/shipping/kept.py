"""What is kept of a client and until when; and the policy behind it."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.actor import open_client
from agency.htmx import go
from agency.portal.context import client_page, who
from agency.portal.forms.fields import RetuneForm
from pipelines.storage.kept import kept_page
from tenants import access
from tenants.actions import set_retention
from tenants.models import Client, Pipeline

MOST_VERSIONS, MOST_DAYS = 1000, 3650


class KeepForm(RetuneForm):
    versions = forms.IntegerField(
        label=gettext_lazy("Versions that were in production: the last so many stay"),
        min_value=1,
        max_value=MOST_VERSIONS,
    )
    days = forms.IntegerField(
        label=gettext_lazy("Nothing goes that is younger than, days"), min_value=1, max_value=MOST_DAYS
    )


def kept(request: HttpRequest, slug: str) -> HttpResponse:
    """One pipeline at a time, by `?pipeline=`; a POST changes the policy of the whole client."""
    row = open_client(request, slug, access.CONFIGURE if request.method == "POST" else access.VIEW)
    if request.method != "POST":
        return _page(request, row, KeepForm(initial={"versions": row.keep_versions, "days": row.keep_days}))
    form = KeepForm(request.POST)
    if not form.is_valid():
        return _page(request, row, form, 422)
    set_retention(row, form.cleaned_data["versions"], form.cleaned_data["days"], who(request), timezone.now())
    messages.success(request, _("Kept so from now on. What it gives up goes at the next hourly sweep."))
    return go(request, reverse("kept", args=[slug]))


def _page(request: HttpRequest, row: Client, form: KeepForm, status: int = 200) -> HttpResponse:
    pipelines = list(Pipeline.objects.filter(client=row).select_related("revision", "client").order_by("slug"))
    asked = request.GET.get("pipeline", "")
    chosen = next((one for one in pipelines if one.slug == asked), None) if asked else next(iter(pipelines), None)
    if asked and chosen is None:
        raise Http404
    page = kept_page(row, chosen, timezone.now())
    return client_page(
        request, row, "portal/shipping/kept.html", status, form=form, pipelines=pipelines, chosen=chosen, page=page
    )
