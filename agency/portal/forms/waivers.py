"""The form of a waiver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from agency.portal.forms.fields import RetuneForm
from pipelines.actions.waivers import LONGEST
from tenants.pipeline_settings import Gate


class WaiverForm(RetuneForm):
    """Which gate, for how long, and why; who approves it is who sends it."""

    gate = forms.ChoiceField(label=_("Gate"))
    days = forms.IntegerField(
        label=_("For so many days"), min_value=1, max_value=LONGEST.days, help_text=_("It ends by itself.")
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        help_text=_("Stands beside every verdict that it lets through, with your name; kept in the ledger."),
    )

    def __init__(self, gates: Sequence[Gate], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = [gate.name for gate in gates if gate.effect == "block" and not gate.shadow]
        self.fields["gate"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]
