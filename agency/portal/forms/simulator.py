"""The form of the gate simulator: one gate's threshold, set otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from agency.portal.forms.fields import RetuneForm
from tenants.pipeline_settings import Gate


class SimulatorForm(RetuneForm):
    """Bound to the address; begins with the gate as it is."""

    gate = forms.ChoiceField(label=_("Gate"))
    limit = forms.FloatField(label=_("Limit"), required=False)
    preset = forms.ChoiceField(
        label=_("Preset"), choices=[("strict", "strict"), ("refresh", "refresh")], required=False
    )
    tolerance = forms.FloatField(label=_("Tolerance, points"), required=False)
    evidence = forms.ChoiceField(
        label=_("Evidence"), choices=[(v, v) for v in ("preset", "required", "superior")], required=False
    )
    effect = forms.ChoiceField(
        label=_("Effect"), choices=[("block", _("blocks")), ("flag", _("flags")), ("warn", _("warns"))]
    )

    def __init__(self, names: Sequence[str], now: Gate, data: Any = None) -> None:
        super().__init__(data, initial=now.model_dump() | {"gate": now.name})
        self.fields["gate"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]
        unused = {"preset", "tolerance", "evidence"} if now.rule != "at_least_production" else {"limit"}
        for name in unused | ({"limit"} if now.rule == "all_pass" else set()):
            del self.fields[name]

    def changes(self) -> dict[str, Any]:
        """What differs from the gate as it is, in the settings' own terms."""
        return {name: value for name, value in self.cleaned_data.items() if name != "gate"}
