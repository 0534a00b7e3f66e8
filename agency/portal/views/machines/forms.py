"""A machine that pulls jobs."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from agency.portal.forms.fields import RetuneForm
from tenants.machines import QUEUES


class MachineForm(RetuneForm):
    """Its name, what it is given, and whether its word is taken."""

    name = forms.SlugField(
        label=_("Name"), max_length=60, help_text=_("Small letters, digits and hyphens, for example gpu-1.")
    )
    queues = forms.MultipleChoiceField(
        label=_("Jobs it takes"),
        choices=[(queue, queue) for queue in QUEUES],
        widget=forms.CheckboxSelectMultiple,
        help_text=_("gpu: trainings. cpu: conversions, and evaluations where it is trusted."),
    )
    is_trusted = forms.BooleanField(
        label=_("Trusted"),
        required=False,
        help_text=_("A scorecard is what the machine that measured says. Trust only those that are your own."),
    )
