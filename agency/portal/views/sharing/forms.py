"""Forms of the brand, of a client's report and of share links."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import validate_email
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agency.portal.forms.fields import AddressesField, RetuneForm
from agency.reports.looks import check_colour, logo_png
from pipelines.actions.letters import Letter
from tenants.models import Brand, Pipeline
from tenants.models.brand import COLOUR

DAYS = ((7, gettext_lazy("7 days")), (30, gettext_lazy("30 days")), (90, gettext_lazy("90 days")))


class BrandForm(RetuneForm):
    """How the agency shows itself to its clients."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=120,
        required=False,
        help_text=gettext_lazy("Empty: the agency's own name."),
    )
    colour = forms.RegexField(
        f"^{COLOUR}$",
        label=gettext_lazy("Colour"),
        help_text=gettext_lazy("As #rrggbb. White text must be readable on it."),
        error_messages={"invalid": gettext_lazy("Write the colour as # and six digits or letters a to f: #1d4f91.")},
    )
    footer = forms.CharField(label=gettext_lazy("Footer"), max_length=300, required=False)
    contact = forms.CharField(
        label=gettext_lazy("Whom clients call"),
        max_length=300,
        required=False,
        help_text=gettext_lazy("For example: Support desk, +34 900 000 000, Monday to Friday."),
    )
    logo = forms.FileField(
        label=gettext_lazy("Logo"),
        required=False,
        help_text=gettext_lazy("PNG, JPEG or WebP, at most 1 MB. It is drawn anew, 480 x 160 at most."),
    )
    remove_logo = forms.BooleanField(label=gettext_lazy("Take the logo away"), required=False)
    revision = forms.IntegerField(widget=forms.HiddenInput)

    @classmethod
    def showing(cls, brand: Brand) -> BrandForm:
        names = ("name", "colour", "footer", "contact", "revision")
        return cls(initial={name: getattr(brand, name) for name in names})

    def clean_colour(self) -> str:
        colour: str = self.cleaned_data["colour"]
        check_colour(colour)
        return colour

    def clean_logo(self) -> bytes | None:
        sent: UploadedFile | None = self.cleaned_data["logo"]
        return logo_png(sent.read(1_000_001)) if sent else None

    def stand_on(self, brand: Brand, why: str) -> None:
        """Refused once because somebody else saved; to save it again is meant."""
        self.add_error(None, why)
        self.data = {name: self.data.get(name, "") for name in self.fields} | {"revision": brand.revision}

    def changes(self) -> dict[str, object]:
        """Columns of the brand; the logo only where it changes."""
        found = {name: self.cleaned_data[name] for name in ("name", "colour", "footer", "contact")}
        if self.cleaned_data["remove_logo"]:
            found["logo"] = b""
        elif self.cleaned_data["logo"] is not None:
            found["logo"] = self.cleaned_data["logo"]
        return found


class ReportForm(RetuneForm):
    """A client's pages and mails."""

    language = forms.ChoiceField(label=gettext_lazy("Language of the report and its mails"), choices=settings.LANGUAGES)
    contact = forms.CharField(
        label=gettext_lazy("Whom this client calls"),
        max_length=300,
        required=False,
        help_text=gettext_lazy("Empty: the agency's own."),
    )


class LinkForm(RetuneForm):
    """A link for somebody without an account."""

    name = forms.CharField(
        label=gettext_lazy("For whom"), max_length=120, help_text=gettext_lazy("To tell links apart later.")
    )
    pipeline = forms.ChoiceField(label=gettext_lazy("What it shows"), required=False)
    days = forms.TypedChoiceField(label=gettext_lazy("Ends after"), choices=DAYS, coerce=int, initial=30)

    def __init__(self, pipelines: list[Pipeline], *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.pipelines = {row.slug: row for row in pipelines}
        names = [(slug, row.name) for slug, row in self.pipelines.items()]
        self.fields["pipeline"].choices = [("", gettext_lazy("the whole report")), *names]  # type: ignore[attr-defined]

    @property
    def chosen(self) -> Pipeline | None:
        return self.pipelines.get(self.cleaned_data["pipeline"])


class LetterForm(RetuneForm):
    """A letter as it goes out, and to whom."""

    to = forms.MultipleChoiceField(
        label=gettext_lazy("To the client's readers"), required=False, widget=forms.CheckboxSelectMultiple
    )
    others = AddressesField(
        label=gettext_lazy("And to"), required=False, help_text=gettext_lazy("Further addresses, one a line.")
    )
    subject = forms.CharField(label=gettext_lazy("Subject"), max_length=150)
    body = forms.CharField(
        label=gettext_lazy("Letter"),
        max_length=8000,
        widget=forms.Textarea(attrs={"rows": 18}),
        help_text=gettext_lazy("Drafted from the ledger in the client's language. A blank line begins a paragraph."),
    )
    seen = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, readers: list[str], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["to"].choices = [(email, email) for email in readers]  # type: ignore[attr-defined]

    def clean_others(self) -> list[str]:
        given: list[str] = self.cleaned_data["others"]
        for address in given:
            validate_email(address)
        return given

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        if not self.errors and not self.recipients:
            self.add_error("to", _("Choose at least one reader, or write an address."))
        return given

    def stand_on(self, seen: int, why: str) -> None:
        """Refused once because another letter went out; to send it again is meant."""
        self.add_error(None, why)
        again = self.data.copy()  # type: ignore[attr-defined]  # A QueryDict: readers are many values of one name.
        again["seen"] = str(seen)
        self.data = again

    @property
    def recipients(self) -> list[str]:
        return list(dict.fromkeys([*self.cleaned_data.get("to", []), *self.cleaned_data.get("others", [])]))

    @property
    def letter(self) -> Letter:
        given = self.cleaned_data
        return Letter(given["subject"], given["body"], tuple(self.recipients), given["seen"])
