"""Forms of the agency's own figures and of issuing a month."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from agency.portal.forms.fields import RetuneForm
from tenants.models import ValueTerms
from tenants.models.value import MINUTES, PRICES, SHOWABLE

STEPS = {
    "validate": _("Minutes to check new data by hand"), "finetune": _("Minutes to train and build by hand"),
    "evaluate": _("Minutes to evaluate by hand"), "compare": _("Minutes to compare and decide by hand"),
    "deploy": _("Minutes to deploy by hand"), "monitor": _("Minutes to watch a new version by hand"),
    "rollback": _("Minutes to take a version back by hand"),
}  # fmt: skip
CHARGED = {
    "month": _("Price of a month"), "run": _("Price of a run"), "promotion": _("Price of a version put in service"),
    "train_hour": _("Price of an hour of training"), "evaluate_hour": _("Price of an hour of evaluation"),
    "ship_hour": _("Price of an hour of shipping and rehearsals"),
    "thousand_answers": _("Price of a thousand answers"),
}  # fmt: skip
SHOWN = {
    "runs": _("runs"), "promoted": _("versions put in service"), "blocked": _("candidates kept back"),
    "rolled_back": _("versions taken back"), "hours_saved": _("hours of work saved"),
    "compute_hours": _("hours of computing"), "cost": _("what the computing costs"),
}  # fmt: skip


class TermsForm(RetuneForm):
    """Minutes, prices, and which figures clients see."""

    currency = forms.RegexField(r"^[A-Z]{3}$", label=_("Currency"), help_text=_("Three letters: EUR."))
    shown = forms.MultipleChoiceField(
        label=_("Clients' reports show"),
        choices=[(name, SHOWN[name]) for name in SHOWABLE],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, terms: ValueTerms, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("initial", _initial(terms))
        super().__init__(*args, **kwargs)
        numbers: dict[str, forms.Field] = {}
        for step, label in STEPS.items():
            numbers[f"minutes_{step}"] = forms.IntegerField(label=label, min_value=0, max_value=10_000)
        for key, label in CHARGED.items():
            numbers[f"price_{key}"] = forms.DecimalField(
                label=label, min_value=Decimal(0), max_value=Decimal(1_000_000), decimal_places=4
            )
        for field in numbers.values():
            field.widget.attrs["class"] = "form-control"
        self.fields = {**numbers, **self.fields}

    @property
    def columns(self) -> dict[str, Any]:
        given = self.cleaned_data
        return {
            "minutes": {step: given[f"minutes_{step}"] for step in MINUTES},
            "prices": {key: f"{given[f'price_{key}'].normalize():f}" for key in PRICES},
            "currency": given["currency"],
            "shown": list(given["shown"]),
        }


def _initial(terms: ValueTerms) -> dict[str, Any]:
    found: dict[str, Any] = {f"minutes_{step}": terms.minutes_of(step) for step in MINUTES}
    found |= {f"price_{key}": Decimal(terms.prices.get(key, default)) for key, default in PRICES.items()}
    return found | {"currency": terms.currency, "shown": terms.shown}


class IssueForm(RetuneForm):
    """Why a month that was issued already is issued again."""

    reason = forms.CharField(
        label=_("Reason"), max_length=500, required=False, help_text=_("Needed for a correction; kept with it.")
    )
