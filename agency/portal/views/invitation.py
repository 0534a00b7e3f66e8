"""An invitation that somebody opens: shown on GET, accepted on POST, because mail programs open links by themselves."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.accounts.limits import limited
from agency.htmx import go
from agency.portal.forms.people import AcceptForm
from tenants import actions, scope
from tenants.models import Invitation, User
from tenants.people import invitations


@login_not_required
@limited("invitation")
def invitation(request: HttpRequest, ticket: str) -> HttpResponse:
    row = invitations.find(ticket)
    if row is None:
        raise Http404
    has_account = User.objects.filter(email=row.email).exists()
    signed_in = request.user if request.user.is_authenticated else None
    form = None if has_account else AcceptForm(request.POST or None)
    if request.method == "POST" and row.is_open(timezone.now()):
        if signed_in is None and has_account:
            return redirect(f"/login/?next={request.path}")
        user = signed_in or _new_user(row, form)
        if user is not None:
            return _accept(request, row, user, is_new=signed_in is None)
    is_open = row.is_open(timezone.now())
    given = {"row": row, "form": form, "has_account": has_account, "is_open": is_open}
    status = 410 if not is_open else 422 if form is not None and form.errors else 200
    return TemplateResponse(request, "registration/invitation.html", given, status=status)


def _new_user(row: Invitation, form: AcceptForm | None) -> User | None:
    """Unsaved until the invitation is accepted; None where the form is not filled in right."""
    if form is None or not form.is_valid():
        return None
    user = User(email=row.email, name=form.cleaned_data["name"])
    user.set_password(form.cleaned_data["password"])
    return user


def _accept(request: HttpRequest, row: Invitation, user: User, *, is_new: bool) -> HttpResponse:
    try:
        with scope.agency_scope(row.agency_id):
            invitations.accept(row, user, timezone.now())
    except actions.MemberRefused as refused:
        messages.error(request, str(refused))
        return go(request, request.path)
    if is_new:
        login(request, user)
    messages.success(request, _("Welcome."))
    return go(request, "/")
