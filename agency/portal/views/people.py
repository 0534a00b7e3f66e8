"""Who can sign in: the agency's staff and its clients' readers; invited, given another role, removed."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import F, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from agency.actor import Actor, open_agency
from agency.htmx import go, partials
from agency.mail.invitation import is_mailed, send_invitation
from agency.portal.context import who
from agency.portal.forms.fields import ReasonForm
from agency.portal.forms.people import MemberForm, PersonForm, RoleForm
from agency.portal.paging import paged
from tenants import access, actions, scope
from tenants.models import Agency, Client, Invitation, Membership, Role
from tenants.people import invitations, roles

LINES_A_PAGE = 50


def people(request: HttpRequest) -> HttpResponse:
    """Staff see who has which role; an owner invites somebody."""
    if request.method == "POST":
        return _invite(request, open_agency(request, access.ADMINISTER))
    actor = open_agency(request)
    return _page(request, actor, PersonForm(_clients()))


def _page(request: HttpRequest, actor: Actor, form: PersonForm, status: int = 200) -> HttpResponse:
    waiting = Invitation.objects.filter(accepted_at=None, revoked_at=None, expires_at__gt=timezone.now())
    given = {
        "page": paged(request, _members(), LINES_A_PAGE),
        "form": form,
        "waiting": waiting.select_related("client"),
    }
    given |= {"may_administer": actor.may(access.ADMINISTER), "link_text": request.session.pop("new_invitation", "")}
    return TemplateResponse(request, "portal/people.html", given, status=status)


def _members() -> QuerySet[Membership]:
    """Staff first, then those of single clients."""
    rows = Membership.objects.select_related("user", "client")
    return rows.order_by(F("client__name").asc(nulls_first=True), "user__email")


def _clients() -> list[tuple[str, str]]:
    return list(Client.objects.values_list("slug", "name"))


def _invite(request: HttpRequest, actor: Actor) -> HttpResponse:
    form = PersonForm(_clients(), request.POST)
    agency = Agency.objects.get(pk=actor.agency_id or 0)
    if not form.is_valid() or not invite(request, form, agency, form.place):
        return _page(request, actor, form, 422)
    return go(request, reverse("people"))


def invite(request: HttpRequest, form: MemberForm, agency: Agency, client: Client | None) -> bool:
    """Invites the person of a valid form and mails it; False, with the reason on the form, where that cannot be."""
    email, role = form.cleaned_data["email"], form.cleaned_data["role"]
    try:
        # Memberships belong to the agency: a client's scope cannot write them.
        with scope.agency_scope(agency.pk):
            row, token = invitations.invite(agency, email, role, client, actor=who(request), now=timezone.now())
    except actions.MemberRefused as refused:
        form.add_error("email", str(refused))
        return False
    address = request.build_absolute_uri(reverse("invitation", args=[token]))
    if send_invitation(row, address) and is_mailed():
        messages.success(request, _("An invitation is on its way to %(email)s.") % {"email": row.email})
    else:
        request.session["new_invitation"] = address
    return True


def _member(pk: int) -> Membership:
    row: Membership | None = Membership.objects.select_related("user", "client").filter(pk=pk).first()
    if row is None:
        raise Http404
    return row


@require_POST
def withdraw_invitation(request: HttpRequest, invitation: int) -> HttpResponse:
    open_agency(request, access.ADMINISTER)
    row = Invitation.objects.select_related("agency", "client").filter(pk=invitation, accepted_at=None).first()
    if row is None:
        raise Http404
    invitations.withdraw(row, who(request), timezone.now())
    messages.success(request, _("The invitation of %(email)s is closed.") % {"email": row.email})
    return go(request, reverse("people"))


@partials(dialog_body="portal/_change_role.html")
def change_role(request: HttpRequest, member: int) -> HttpResponse:
    """Asks on GET and acts on POST."""
    open_agency(request, access.ADMINISTER)
    row = _member(member)
    form = RoleForm(request.POST) if request.method == "POST" else RoleForm(initial={"role": row.role})
    if request.method == "POST" and form.is_valid():
        role, reason = Role(form.cleaned_data["role"]), form.cleaned_data["reason"]
        try:
            roles.change_role(row, role, who(request), timezone.now(), reason)
            messages.success(request, _("%(email)s has another role, and signs in anew.") % {"email": row.user.email})
            return go(request, reverse("people"))
        except actions.MemberRefused as refused:
            form.add_error(None, str(refused))
    given = {"form": form, "person": row}
    return TemplateResponse(request, "portal/change_role.html", given, status=422 if form.errors else 200)


@partials(dialog_body="portal/_remove_person.html")
def remove_person(request: HttpRequest, member: int) -> HttpResponse:
    """Asks on GET and acts on POST."""
    open_agency(request, access.ADMINISTER)
    row = _member(member)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            keys, links = roles.leave(row, who(request), timezone.now(), form.cleaned_data["reason"])
            messages.success(request, _gone(row.user.email, keys + links))
            return go(request, reverse("people" if row.user != request.user else "overview"))
        except actions.MemberRefused as refused:
            form.add_error(None, str(refused))
    given = {"form": form, "person": row}
    return TemplateResponse(request, "portal/remove_person.html", given, status=422 if form.errors else 200)


def _gone(email: str, closed: int) -> str:
    said = _("%(email)s is no member any more.") % {"email": email}
    if not closed:
        return said
    more = ngettext("%(n)s key or link of theirs is closed.", "%(n)s keys and links of theirs are closed.", closed)
    return f"{said} {more % {'n': closed}}"
