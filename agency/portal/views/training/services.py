"""Fine-tuning services: the agency's seats, and which of them may have a client's examples."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from agency.actor import open_agency, open_client
from agency.htmx import go
from agency.portal.context import client_page, who
from agency.portal.forms.fields import AddressField, RetuneForm, judged
from pipelines.outbound.access import VALUE
from tenants import access, training
from tenants.models import Agency, TrainingConsent, TrainingService


class ServiceForm(RetuneForm):
    """A seat at a service. The key is sealed and shown nowhere."""

    name = forms.RegexField(r"^[a-z0-9]+(-[a-z0-9]+)*$", label=gettext_lazy("Name"), max_length=50)
    url = AddressField(
        label=gettext_lazy("Address"),
        max_length=300,
        assume_scheme="https",
        help_text=gettext_lazy("Up to where /files begins, as with https://tuning.example/v1."),
    )
    model = forms.CharField(
        label=gettext_lazy("Model there"), max_length=200, help_text=gettext_lazy("What the service calls the base.")
    )
    base = forms.ChoiceField(label=gettext_lazy("Base model here"))
    key = forms.CharField(
        label=gettext_lazy("Key"),
        max_length=1000,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["base"].choices = [(name, name) for name in settings.BASES]  # type: ignore[attr-defined]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if TrainingService.objects.filter(name=name, withdrawn_at=None).exists():
            raise ValidationError(_("There is a service “%(name)s” already.") % {"name": name})
        return name

    def clean_key(self) -> str:
        key: str = self.cleaned_data["key"]
        if key and not VALUE.fullmatch(key):
            raise ValidationError(_("A key is one line of plain ASCII characters."))
        return key

    def clean_url(self) -> str:
        return judged(self.cleaned_data["url"]).rstrip("/")


def services(request: HttpRequest) -> HttpResponse:
    actor = open_agency(request, access.CONFIGURE)
    form = ServiceForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        agency = Agency.objects.get(pk=actor.agency_id or 0)
        fields = {name: form.cleaned_data[name] for name in ("name", "url", "model", "base")}
        training.add_service(agency, fields, form.cleaned_data["key"], who(request), timezone.now())
        return go(request, reverse("training-services"))
    given = {"form": form, "services": TrainingService.objects.all()}
    return TemplateResponse(
        request, "portal/training/services.html", given, status=422 if request.method == "POST" else 200
    )


@require_POST
def withdraw(request: HttpRequest, name: str) -> HttpResponse:
    open_agency(request, access.CONFIGURE)
    found = TrainingService.objects.filter(name=name).order_by("-id").first()
    if found is None:
        raise Http404
    if found.withdrawn_at is None:
        training.withdraw_service(found, who(request), timezone.now())
    return go(request, reverse("training-services"))


def of_client(request: HttpRequest, slug: str) -> HttpResponse:
    """Each service with whether this client allows it; a POST names one and is the client's consent."""
    row = open_client(request, slug, access.CONFIGURE if request.method == "POST" else access.VIEW)
    known = training.services_of(row.agency_id)
    if request.method == "POST":
        named = next((one for one in known if one.name == request.POST.get("service")), None)
        if named is not None and request.POST.get("consent") and not training.allowed(row.pk, named):
            training.allow_service(row, named, who(request), timezone.now())
            return go(request, reverse("client-training", args=[slug]))
    lines = [(one, training.allowed(row.pk, one)) for one in known]
    given = {"lines": lines, "consents": TrainingConsent.objects.filter(client=row)}
    status = 422 if request.method == "POST" else 200
    return client_page(request, row, "portal/training/client.html", status, **given)


@require_POST
def take_back(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    row = open_client(request, slug, access.CONFIGURE)
    found = TrainingConsent.objects.filter(client=row, service=name).order_by("-id").first()
    if found is None:
        raise Http404
    if found.withdrawn_at is None:
        training.take_back(found, who(request), timezone.now())
    return go(request, reverse("client-training", args=[slug]))
