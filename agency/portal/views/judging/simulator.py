"""The gate simulator: move a threshold, see which past verdicts would change."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from pydantic import ValidationError

from agency.actor import open_pipeline
from agency.htmx import partials
from agency.portal.context import pipeline_page
from agency.portal.forms.simulator import SimulatorForm
from pipelines.reports.judging.simulator import Replayed, simulate
from tenants import access
from tenants.models import Pipeline
from tenants.pipeline_settings import Gate


@partials(replay="portal/judging/_replay.html")
def simulator(request: HttpRequest, slug: str, pipeline_slug: str) -> HttpResponse:
    """Nothing is changed by it: the whole question stands in the address."""
    row = open_pipeline(request, slug, pipeline_slug, access.VIEW)
    gates = {gate.name: gate for gate in row.settings.gates}
    if not gates:
        raise Http404
    gate = gates.get(request.GET.get("gate", "")) or next(iter(gates.values()))
    form = SimulatorForm(list(gates), gate, request.GET if "effect" in request.GET else None)
    found = _replayed(row, gate, form)
    given = {"form": form, "gate": gate, "found": found, "changed": [line for line in found if line.changes]}
    return pipeline_page(request, row, "portal/judging/simulator.html", 200, **given)


def _replayed(row: Pipeline, gate: Gate, form: SimulatorForm) -> tuple[Replayed, ...]:
    """Empty with a sentence beside the form where such a gate cannot be."""
    if form.is_bound and not form.is_valid():
        return ()
    changes = form.changes() if form.is_bound else {}
    try:
        return simulate(row, Gate.model_validate(gate.model_dump() | changes))
    except ValidationError as error:
        form.add_error(None, error.errors()[0]["msg"].removeprefix("Value error, ") or _("Such a gate cannot be."))
        return ()
