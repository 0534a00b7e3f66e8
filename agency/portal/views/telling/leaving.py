"""The link in a mail that ends such mails: without an account, by one POST (RFC 8058), and back again."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from agency.reports.pages import private
from tenants import scope
from tenants.models import Client
from tenants.telling.choices import DIGEST, choice_of, has_left, leave, read_ticket


# The mailbox's own program posts here, with no cookie of ours: what it may do stands signed in the address.
@csrf_exempt
@login_not_required
def leave_mails(request: HttpRequest, leaving: str) -> HttpResponse:
    """Says on GET what a POST does: programs that follow links in mails change nothing."""
    told = read_ticket(leaving)
    if told is None:
        raise Http404
    with scope.entered(scope.Scope(agency_id=told.agency_id)):
        client = Client.objects.filter(pk=told.client_id).first()
        if client is None and told.client_id != DIGEST:
            raise Http404
        if request.method == "POST":
            leave(told, timezone.now(), is_back="again" in request.POST)
        is_off = has_left(choice_of(told.agency_id, told.address), told)
        about = client.name if client else _("the week of all clients")
        given = {"about": about, "address": told.address, "is_off": is_off, "csrf_token": ""}
        return private(TemplateResponse(request, "mail/leave.html", given).render())
