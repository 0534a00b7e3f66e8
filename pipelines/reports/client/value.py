"""Figures of the work's value that the agency lets this report show."""

from __future__ import annotations

from django.utils.translation import gettext as _

from pipelines.reports.client.calendar import Month
from pipelines.reports.client.figures import Figure
from pipelines.reports.value.work import FIGURES, work_of
from tenants.billing import terms_of
from tenants.models import Client
from tenants.models.value import SHOWABLE


def value_figures(client: Client, month: Month) -> tuple[Figure, ...]:
    """Empty, without a look at the work, where the agency shows none."""
    terms = terms_of(client.agency_id)
    shown = [name for name in SHOWABLE if name in terms.shown]
    if not shown:
        return ()
    here, before = work_of(client, month), work_of(client, month.previous)
    return tuple(Figure(_name(n, terms.currency), FIGURES[n](here, terms), FIGURES[n](before, terms)) for n in shown)


def _name(figure: str, currency: str) -> str:
    names = {
        "runs": _("runs"),
        "promoted": _("versions put in service"),
        "blocked": _("candidates kept back"),
        "rolled_back": _("versions taken back"),
        "hours_saved": _("hours of work saved"),
        "compute_hours": _("hours of computing"),
        "cost": _("computing, in %(currency)s") % {"currency": currency},
    }
    return names[figure]
