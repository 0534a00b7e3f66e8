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
from pipelines.actions import ActionRefused
from pipelines.actions.letters import letters_about, send_letter
from pipelines.models import Rollback
from pipelines.reports.client.letter import draft_of
from tenants import access, scope, sharing
from tenants.models import Client, Membership, Pipeline


def letter(request: HttpRequest, slug: str, pipeline_slug: str, rollback: int) -> HttpResponse:
    row = open_pipeline(request, slug, pipeline_slug, access.OPERATE)
    found = _find(row, rollback)
    people, sent = _readers(row.client), letters_about(found)
    given = request.POST if request.method == "POST" else None
    form = LetterForm(people, given, initial=_draft(found, row) | {"to": people, "seen": len(sent)})
    if request.method == "POST" and form.is_valid():
        try:
            send_letter(found, form.letter, actor=who(request), now=timezone.now())
            messages.success(request, _("The letter is on its way to %(n)s people.") % {"n": len(form.recipients)})
            return go(request, reverse("letter", args=[slug, pipeline_slug, rollback]))
        except ActionRefused as refused:
            form.stand_on(letters_about(found).count(), str(refused))
    status = 422 if form.errors else 200
    return pipeline_page(request, row, "portal/sharing/letter.html", status, form=form, rollback=found, sent=sent.all())


def _find(row: Pipeline, rollback: int) -> Rollback:
    """One whose traffic has moved: before that no version was taken back."""
    related = ("from_version", "to_version", "rollout", "pipeline")
    moved = Rollback.objects.select_related(*related).filter(pipeline=row, flipped_at__isnull=False)
    found: Rollback | None = moved.filter(pk=rollback).first()
    if found is None:
        raise Http404
    return found


def _draft(found: Rollback, row: Pipeline) -> dict[str, Any]:
    look = Look.of(row.client, sharing.brand_of(row.agency_id))
    with translation.override(row.client.language), timezone.override(row.client.zone):
        draft = draft_of(found, look.name, look.contact)
    return {"subject": draft.subject, "body": draft.body}


def _readers(client: Client) -> list[str]:
    # Memberships belong to the agency: a client's scope cannot read them.
    with scope.agency_scope(client.agency_id):
        return list(
            Membership.objects.filter(client=client).order_by("user__email").values_list("user__email", flat=True)
        )
