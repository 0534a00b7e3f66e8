"""Judge models of a client: allowed with consent, taken back at any time."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from agency.actor import open_client
from agency.htmx import go
from agency.portal.context import client_page, who
from agency.portal.forms.judges import JudgeForm
from tenants import access
from tenants.judges import allow_judge, withdraw_judge
from tenants.models import JudgeEndpoint


def judges(request: HttpRequest, slug: str) -> HttpResponse:
    row = open_client(request, slug, access.CONFIGURE if request.method == "POST" else access.VIEW)
    form = JudgeForm(row, request.POST or None)
    if request.method == "POST" and form.is_valid():
        made = allow_judge(row, form.fields_of_row(), who(request), timezone.now())
        messages.success(request, _("Rows of this client may be shown to %(name)s.") % {"name": made.name})
        return go(request, reverse("judges", args=[slug]))
    found = JudgeEndpoint.objects.filter(client=row)
    return client_page(request, row, "portal/sets/judges.html", 422 if form.errors else 200, form=form, judges=found)


@require_POST
def withdraw(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    row = open_client(request, slug, access.CONFIGURE)
    found = JudgeEndpoint.objects.filter(client=row, name=name).order_by("-id").first()
    if found is None:
        raise Http404
    if found.withdrawn_at is None:
        withdraw_judge(found, who(request), timezone.now())
    messages.success(request, _("No row of this client is shown to %(name)s any more.") % {"name": name})
    return go(request, reverse("judges", args=[slug]))
