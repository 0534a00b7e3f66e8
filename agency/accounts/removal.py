"""Removing one's own account: asked twice, done at once."""

from __future__ import annotations

from allauth.account.decorators import reauthentication_required
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib.auth import logout
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.portal.forms.fields import RetuneForm
from tenants.actions import MemberRefused
from tenants.models import User
from tenants.people.accounts import remove_account


class RemovalForm(RetuneForm):
    """One's own address, typed: nobody removes themselves by a slip."""

    email = forms.EmailField(label=gettext_lazy("Your e-mail address"))

    def __init__(self, user: User, *args: object) -> None:
        super().__init__(*args)
        self.user = user

    def clean_email(self) -> str:
        given: str = self.cleaned_data["email"]
        if given.lower() != self.user.email:
            raise ValidationError(_("This is not the address that you are signed in with."))
        return given


@reauthentication_required
def remove(request: HttpRequest) -> HttpResponse:
    """Asks on GET and acts on POST."""
    user = User.objects.get(pk=request.user.pk or 0)
    form = RemovalForm(user, request.POST) if request.method == "POST" else RemovalForm(user)
    if request.method == "POST" and form.is_valid():
        try:
            _remove(user)
        except MemberRefused as refused:
            form.add_error(None, str(refused))
        else:
            logout(request)
            return redirect("login")
    return TemplateResponse(request, "account/remove.html", {"form": form}, status=422 if form.errors else 200)


@transaction.atomic
def _remove(user: User) -> None:
    remove_account(user, timezone.now())
    for rows in (EmailAddress.objects, Authenticator.objects, UserSession.objects):
        rows.filter(user=user).delete()
