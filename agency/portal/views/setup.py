"""The first visit, and where each person starts."""

from __future__ import annotations

from allauth.account.views import LoginView
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.embedded import setup_token
from agency.portal.forms.people import SetupForm
from agency.portal.views.overview import overview, own_clients
from tenants import actions


class SignIn(LoginView):
    """Sign in; an expired session inside a card leads the whole page here."""

    template_name = "registration/login.html"

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if request.headers.get("HX-Request") == "true":
            return HttpResponse(headers={"HX-Redirect": request.get_full_path()})
        if setup_token.is_open():
            return redirect("setup")
        return super().get(request, *args, **kwargs)


@login_not_required
def start(request: HttpRequest) -> HttpResponse:
    """Setup while there is no agency; staff see the overview, readers of one client its report, others a list."""
    if not request.user.is_authenticated:
        return redirect("setup" if setup_token.is_open() else "login")
    actor = request.actor  # type: ignore[attr-defined]
    if actor.is_staff:
        return overview(request)
    if not actor.grants:
        raise Http404
    if len(actor.grants) == 1 and not actor.has_staff_role:
        return redirect("report", actor.grants[0].client)
    return own_clients(request)


@login_not_required
def setup(request: HttpRequest) -> HttpResponse:
    """Founds the agency; closed for ever afterwards."""
    if not setup_token.is_open():
        raise Http404
    form = SetupForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if setup_token.is_right(form.cleaned_data["token"]):
            return _found(request, form)
        form.add_error("token", _("This is not the token that the server printed."))
    status = 422 if form.errors else 200
    return TemplateResponse(request, "registration/setup.html", {"form": form}, status=status)


def _found(request: HttpRequest, form: SetupForm) -> HttpResponse:
    name, slug, email, password = (form.cleaned_data[key] for key in ("name", "slug", "email", "password"))
    _agency, owner = actions.found_agency(name, slug, email, password, timezone.now())
    setup_token.forget()
    login(request, owner)
    messages.success(request, _("Your agency is ready. Add your first client."))
    return redirect("wizard-client")
