"""What one client's people are shown: language, contact, share links, examples that strangers may read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from agency.actor import open_client, open_pipeline
from agency.htmx import go
from agency.portal.context import client_page, pipeline_page, who
from agency.portal.forms.fields import RetuneForm
from agency.portal.views.sharing.forms import LinkForm, ReportForm
from pipelines.models import PipelineState
from pipelines.reports.client.examples import Example, examples_to_share
from tenants import access, sharing
from tenants.models import Client, Pipeline, SharedExample, ShareLink


def report(request: HttpRequest, slug: str) -> HttpResponse:
    row = open_client(request, slug, access.CONFIGURE if request.method == "POST" else access.VIEW)
    form = ReportForm(request.POST) if request.method == "POST" else _form(row)
    if request.method == "POST" and form.is_valid():
        sharing.change_report(row, **form.cleaned_data, actor=who(request), now=timezone.now())
        messages.success(request, _("Saved. The report and its mails follow from now on."))
        return go(request, reverse("sharing", args=[slug]))
    return _page(request, row, 422 if form.errors else 200, form=form)


def _form(row: Client) -> ReportForm:
    return ReportForm(initial={"language": row.language, "contact": row.contact})


def _page(request: HttpRequest, row: Client, status: int = 200, **forms: RetuneForm) -> HttpResponse:
    pipelines = list(Pipeline.objects.filter(client=row))
    given: dict[str, RetuneForm] = {"link_form": LinkForm(pipelines)}
    given |= {"form": _form(row)} | forms
    links = ShareLink.objects.filter(client=row).select_related("pipeline")
    now, text = timezone.now(), request.session.pop("new_link", "")
    lists = {"pipelines": pipelines, "links": [(link, _state(link, now)) for link in links], "link_text": text}
    return client_page(request, row, "portal/sharing/sharing.html", status, **lists, **given)


def _state(link: ShareLink, now: datetime) -> str:
    if link.revoked_at is not None:
        return "revoked"
    return "active" if link.is_open(now) else "ended"


@require_POST
def issue(request: HttpRequest, slug: str) -> HttpResponse:
    """The address is kept in the session until the next page has shown it, once."""
    row = open_client(request, slug, access.ADMINISTER)
    form = LinkForm(list(Pipeline.objects.filter(client=row)), request.POST)
    if not form.is_valid():
        return _page(request, row, 422, link_form=form)
    name, days = form.cleaned_data["name"], form.cleaned_data["days"]
    _link, token = sharing.issue_link(row, form.chosen, name, days, who(request), timezone.now())
    request.session["new_link"] = request.build_absolute_uri(reverse("shared-report", args=[token]))
    return go(request, reverse("sharing", args=[slug]) + "#links")


@require_POST
def revoke(request: HttpRequest, slug: str, link: int) -> HttpResponse:
    row = open_client(request, slug, access.ADMINISTER)
    found = ShareLink.objects.filter(client=row, pk=link, revoked_at=None).first()
    if found is None:
        raise Http404
    sharing.revoke_link(found, who(request), timezone.now())
    messages.success(request, _("The link for %(name)s is closed.") % {"name": found.name})
    return go(request, reverse("sharing", args=[slug]) + "#links")


def examples(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    """Which of the answers in the report a stranger with a link may read too, and what was approved before them."""
    verb = access.CONFIGURE if request.method == "POST" else access.VIEW
    row = open_pipeline(request, slug, pipeline_slug, verb)
    if request.method == "POST":
        return _share(request, row)
    return _examples(request, row)


def _examples(request: HttpRequest, row: Pipeline, status: int = 200, stale: str = "") -> HttpResponse:
    seen = sharing.approved_of(row)  # Before the list is read: what changes between the two is noticed.
    shown, earlier, _offered = _offer(row)
    given = {"examples": shown, "earlier": earlier, "seen": seen, "stale": stale}
    return pipeline_page(request, row, "portal/sharing/examples.html", status, **given)


def _offer(row: Pipeline) -> tuple[Sequence[Example], Sequence[SharedExample], dict[str, tuple[int, str]]]:
    """Of the version in service, approved before it, and both as {digest: (version, key)}."""
    state = PipelineState.objects.select_related("production").filter(pipeline=row).first()
    version = state.production if state else None
    shown = examples_to_share(version) if version else ()
    approved = SharedExample.objects.filter(pipeline=row).exclude(digest="")
    earlier = list(approved.exclude(digest__in=[one.digest for one in shown]).order_by("-version", "key"))
    offered = {one.digest: (version.number, one.key) for one in shown} if version else {}
    return shown, earlier, offered | {one.digest: (one.version, one.key) for one in earlier}


def _share(request: HttpRequest, row: Pipeline) -> HttpResponse:
    """By the digests of what the page showed: nothing is shared that nobody saw, or that somebody took back since."""
    chosen, seen = request.POST.getlist("share"), request.POST.get("seen", "")
    _shown, _earlier, offered = _offer(row)
    try:
        sharing.share_examples(row, offered, chosen, seen, who(request), timezone.now())
    except sharing.StaleEdit as stale:
        return _examples(request, row, 422, str(stale))
    if set(chosen) <= offered.keys():
        messages.success(request, _("Saved. Share links show the chosen answers."))
    else:
        messages.warning(request, _("Some of these answers are of another version now. Look at the list again."))
    return go(request, reverse("shared-examples", args=[row.client.slug, row.slug]))
