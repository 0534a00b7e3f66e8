"""The letter about a rollback: drafted from the ledger, edited and sent by a person."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from agency.actor import open_pipeline
from agency.htmx import go
from agency.portal.context import pipeline_page, who
from agency.portal.views.sharing.forms import LetterForm
from agency.reports.pages import Look
from pipelines.actions.letters import LETTER, send_letter
from pipelines.models import Notice, Rollback
from pipelines.reports.client.letter import draft_of
from tenants import access, scope, sharing
from tenants.models import Client, Membership, Pipeline


def letter(request: HttpRequest, slug: str, pipeline_slug: str, rollback: int) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.OPERATE)
    related = ("from_version", "to_version", "rollout", "pipeline")
    found = Rollback.objects.select_related(*related).filter(pipeline=row, pk=rollback).first()
    if found is None:
        raise Http404
    people = _readers(row.client)
    form = (
        LetterForm(people, request.POST) if request.method == "POST" else LetterForm(people, initial=_draft(found, row))
    )
    if request.method == "POST" and form.is_valid():
        subject, body = form.cleaned_data["subject"], form.cleaned_data["body"]
        send_letter(found, subject, body, form.recipients, actor=who(request), now=timezone.now())
        messages.success(request, _("The letter is on its way to %(n)s people.") % {"n": len(form.recipients)})
        return go(request, reverse("letter", args=[slug, pipeline_slug, rollback]))
    sent = Notice.objects.filter(pipeline=row, kind=LETTER, key__startswith=f"{LETTER}:{found.pk}:")
    given = {"form": form, "rollback": found, "sent": sent}
    return pipeline_page(request, row, "portal/sharing/letter.html", 422 if form.errors else 200, **given)


def _draft(found: Rollback, row: Pipeline) -> dict[str, Any]:
    look = Look.of(row.client, sharing.brand_of(row.agency_id))
    with translation.override(row.client.language), timezone.override(row.client.zone):
        draft = draft_of(found, look.name, look.contact)
    return {"subject": draft.subject, "body": draft.body, "to": _readers(row.client)}


def _readers(client: Client) -> list[str]:
    # Memberships belong to the agency: a client's scope cannot read them.
    with scope.agency_scope(client.agency_id):
        return list(
            Membership.objects.filter(client=client).order_by("user__email").values_list("user__email", flat=True)
        )
