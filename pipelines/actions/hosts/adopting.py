"""Adopting a model that runs on a host as v0 of an empty pipeline."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _l

from pipelines.actions.refused import ActionRefused
from pipelines.domain.transitions import LIVE_RUNS
from pipelines.fleet import adoption
from pipelines.hosts import HostError
from pipelines.hosts.naming import is_ours
from pipelines.models import ModelVersion, PipelineState, Run
from pipelines.reach import open_row
from pipelines.shipping.route import flip
from tenants.models import AuditEvent, Host, Pipeline

ADOPT_TIMEOUT_S = 10.0
IMPOSSIBLE = (
    _l("Its bytes cannot be fetched from the host: there is no copy here, no export and no passport over them."),
    _l("It is measured on its host only: the pipeline's “Measure on” must be that host."),
    _l("It goes to no other host, and is not placed again when somebody deletes it there."),
    _l("It has no adapter, no training rows and no card: no loss by step, no way from an answer to an example."),
    _l("It is never unloaded, overwritten or deleted by us; drift is found, and only reported for its name."),
)


def adopt(pipeline: Pipeline, host: Host, name: str, *, actor: str, reason: str, now: datetime) -> ModelVersion:
    """A model that runs on the host becomes v0 and takes the traffic. Raises ActionRefused."""
    if not reason.strip():
        raise ActionRefused(_("Say why: the reason is kept in the ledger."))
    _refuse_adoption(pipeline, host, name)
    model = _found(host, name)  # Asked before the transaction: a slow host must not hold it open.
    with transaction.atomic():
        PipelineState.objects.get_or_create(
            pipeline=pipeline, defaults={"client_id": pipeline.client_id, "agency_id": pipeline.agency_id}
        )
        _refuse_adoption(pipeline, host, name)
        rollout = adoption.adopt(pipeline, model, actor, reason.strip(), now)
        # All of it at once: it is what the client's applications have asked so far.
        flip(rollout.version, now, rollout=rollout, by=actor)
        detail = {"host": host.name, "model": name, "digest": model.tag.digest, "reason": reason}
        AuditEvent.append(pipeline, actor, "pipeline.adopt", f"{pipeline.slug} v0", now, detail)
    return rollout.version


def _refuse_adoption(pipeline: Pipeline, host: Host, name: str) -> None:
    if ModelVersion.objects.filter(pipeline=pipeline).exists():
        raise ActionRefused(_("The pipeline has versions already: only an empty one can adopt a model as its v0."))
    if Run.objects.filter(pipeline=pipeline, status__in=LIVE_RUNS).exists():
        raise ActionRefused(_("A run of the pipeline is live: cancel it, or let it end."))
    chosen = pipeline.settings
    if chosen.criteria.evaluate_on != "host":
        raise ActionRefused(_("Set “Measure on” to host in the settings first: its bytes are only there."))
    first = Host.objects.filter(client_id=pipeline.client_id, is_enabled=True).order_by("id")
    first = first.filter(name__in=chosen.hosts) if chosen.hosts else first
    if host.pk != first.values_list("pk", flat=True).first():
        raise ActionRefused(
            _("The pipeline is measured on its first host, which is not %(name)s: name that host in the settings.")
            % {"name": host.name}
        )
    if is_ours(name):
        raise ActionRefused(_("%(name)s is a name of ours: roll back to its version instead.") % {"name": name})


def _found(host: Host, name: str) -> adoption.Model:
    try:
        with closing(open_row(host, ADOPT_TIMEOUT_S)) as opened:
            tag = next((tag for tag in opened.tags() if tag.name == name), None)
            shown = opened.show(name) if tag else None
            facts = opened.probe()
    except HostError as error:
        raise ActionRefused(str(error)) from error
    if tag is None or shown is None or not shown.blob_digest:
        raise ActionRefused(_("%(host)s has no model %(name)s.") % {"host": host.name, "name": name})
    return adoption.Model(host, tag, shown, facts.generation, facts.version)
