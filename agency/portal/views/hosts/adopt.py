"""Adopting a model that runs on a host: which one, for which pipeline, and what will be impossible for it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.htmx import go
from agency.portal.context import client_page, who
from agency.portal.forms.fields import ReasonForm
from agency.portal.views.hosts.pages import open_host
from pipelines.actions import ActionRefused
from pipelines.actions import hosts as acts
from pipelines.hosts.naming import is_ours
from tenants import access
from tenants.models import Client, Host, Pipeline


class AdoptForm(ReasonForm):
    """Models as the host listed them at the last look."""

    field_order = ("model", "pipeline", "reason")
    model = forms.ChoiceField(label=gettext_lazy("Model on this host"))
    pipeline = forms.ChoiceField(
        label=gettext_lazy("Becomes v0 of"), help_text=gettext_lazy("A pipeline without a version.")
    )

    def __init__(self, client: Client, host: Host, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = [tag["name"] for tag in host.facts.get("models", ()) if not is_ours(tag["name"])]
        self.rows = {row.slug: row for row in Pipeline.objects.filter(client=client).select_related("revision")}
        self.fields["model"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]
        pipelines = [(slug, row.name) for slug, row in self.rows.items()]
        self.fields["pipeline"].choices = pipelines  # type: ignore[attr-defined]


def adopt(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    client, row = open_host(request, slug, name, access.CONFIGURE)
    form = AdoptForm(client, row, request.POST or None, initial={"model": request.GET.get("model", "")})
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        pipeline = form.rows[given["pipeline"]]
        try:
            acts.adopt(pipeline, row, given["model"], actor=who(request), reason=given["reason"], now=timezone.now())
            words = {"model": given["model"], "name": pipeline.name}
            messages.success(request, _("%(model)s is v0 of %(name)s now.") % words)
            return go(request, reverse("version", args=[slug, pipeline.slug, 0]))
        except ActionRefused as refused:
            form.add_error(None, str(refused))
    status = 422 if form.errors else 200
    return client_page(
        request, client, "portal/hosts/adopt.html", status, host=row, form=form, impossible=acts.IMPOSSIBLE
    )
