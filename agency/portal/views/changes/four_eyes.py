"""Four eyes: where two people decide, what waits for the second one, and that person's answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.actor import open_agency, open_client
from agency.htmx import go, partials
from agency.portal.context import May, actor_of, who
from agency.portal.forms.fields import ReasonForm
from agency.portal.paging import paged
from agency.portal.views.changes.forms import SwitchForm
from pipelines.actions import ActionRefused
from pipelines.actions.two_people import acts
from tenants import access
from tenants.models import Agency, Client, Proposal
from tenants.models.settings_revision import flatten
from tenants.people import four_eyes

LINES_A_PAGE = 30
DECISIONS = ("confirm", "decline")
NEEDS = {"four-eyes.switch": access.ADMINISTER, "settings.change": access.CONFIGURE, "gate.waive": access.CONFIGURE}
NEEDS["client.erase"] = access.ADMINISTER


@dataclass(frozen=True)
class Place:
    """The agency, or one of its clients."""

    agency: Agency
    client: Client | None

    @property
    def row(self) -> Agency | Client:
        return self.client or self.agency

    @property
    def url(self) -> str:
        return reverse("client-four-eyes", args=[self.client.slug]) if self.client else reverse("four-eyes")

    def proposals(self) -> QuerySet[Proposal]:
        rows = Proposal.objects.select_related("client", "pipeline__revision")
        return rows.filter(client=self.client) if self.client else rows


def _open(request: HttpRequest, slug: str | None, verb: str) -> Place:
    if slug is None:
        actor = open_agency(request, verb)
        return Place(Agency.objects.get(pk=actor.agency_id or 0), None)
    client = open_client(request, slug, verb)
    return Place(client.agency, client)


def switches(request: HttpRequest, slug: str | None = None) -> HttpResponse:
    """The switches of the agency or of one client, and every proposal there."""
    place = _open(request, slug, access.ADMINISTER if request.method == "POST" else access.VIEW)
    form = SwitchForm(place.row, request.POST) if request.method == "POST" else SwitchForm(place.row)
    if request.method == "POST" and form.is_valid() and _switched(request, place, form):
        return go(request, place.url)
    now, page = timezone.now(), paged(request, place.proposals(), LINES_A_PAGE)
    given: dict[str, Any] = {"form": form, "client": place.client, "agency": place.agency, "page": page}
    given |= {"lines": [(row, row.state(now)) for row in page], "may_administer": _may(request, place)}
    return TemplateResponse(request, "portal/changes/four_eyes.html", given, status=422 if form.errors else 200)


def _may(request: HttpRequest, place: Place) -> bool:
    actor = actor_of(request)
    return May.at(actor, place.client).administer if place.client else actor.may(access.ADMINISTER)


def _switched(request: HttpRequest, place: Place, form: SwitchForm) -> bool:
    try:
        made = acts.order_switch(
            place.row, form.wanted, actor=who(request), reason=form.cleaned_data["reason"], now=timezone.now()
        )
    except ActionRefused as refused:
        form.add_error(None, str(refused))
        return False
    messages.success(request, proposed_words() if made else _("Saved."))
    return True


def proposed_words() -> str:
    return _("Proposed. It holds when a second person confirms it, within 48 hours.")


@partials(dialog_body="portal/changes/_proposal.html")
def decide(request: HttpRequest, proposal: int, name: str, slug: str | None = None) -> HttpResponse:
    """Asks on GET and acts on POST."""
    place = _open(request, slug, access.OPERATE)
    row = place.proposals().filter(pk=proposal, client=place.client).first()
    if row is None or name not in DECISIONS:
        raise Http404
    _open(request, slug, NEEDS.get(row.kind, access.OPERATE))
    form = ReasonForm(request.POST or None) if name == "decline" else None
    refused = ""
    if request.method == "POST" and (form is None or form.is_valid()):
        refused = _decided(request, row, form)
        if not refused:
            return go(request, _after(row, place))
    given = {"row": row, "name": name, "form": form, "refused": refused, "place": place, "client": place.client}
    given |= {"state": row.state(timezone.now()), "changes": _changes(row), "is_own": row.proposed_by == who(request)}
    status = 422 if refused or (form is not None and form.errors) else 200
    return TemplateResponse(request, "portal/changes/proposal.html", given, status=status)


def _decided(request: HttpRequest, row: Proposal, form: ReasonForm | None) -> str:
    """Why not; empty when it is done."""
    try:
        if form is None:
            acts.confirm(row, actor=who(request), now=timezone.now())
            messages.success(request, _("Confirmed, and done."))
        else:
            four_eyes.decline(row, actor=who(request), reason=form.cleaned_data["reason"], now=timezone.now())
            messages.success(request, _("Nothing of it happens."))
    except (ActionRefused, four_eyes.ProposalRefused) as refused:
        return str(refused)
    return ""


def _after(row: Proposal, place: Place) -> str:
    """Where the proposal was shown: the pipeline's page for what is a pipeline's."""
    if row.pipeline is None or place.client is None:
        return place.url
    return reverse("pipeline", args=[place.client.slug, row.pipeline.slug])


def _changes(row: Proposal) -> list[tuple[str, object, object]]:
    """(path, now, then) of proposed settings."""
    if row.kind != "settings.change" or row.pipeline is None or row.pipeline.revision is None:
        return []
    now, then = flatten(row.pipeline.revision.body), flatten(row.payload["body"])
    return [(p, now.get(p), then.get(p)) for p in sorted(now.keys() | then.keys()) if now.get(p) != then.get(p)]
