"""The arms of an evaluation: how each version is asked, and the host where it is measured if not here."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from django.utils.translation import gettext as _

from pipelines.engine.jobs import JobFailed, Work
from pipelines.heavy.push import open_adapter, place_on
from pipelines.models import ModelVersion, Placement, Run
from pipelines.reach import for_child
from tenants.models import Host
from tenants.pipeline_settings import OutputFormat, PipelineSettings

SAMPLING = frozenset({"temperature", "top_p", "top_k", "min_p", "repeat_penalty"})


def manner_of(version: ModelVersion, chosen: PipelineSettings) -> dict[str, Any]:
    """As pipelines.work.inference.manner reads it."""
    return {
        "system": version.system,
        "replaces": version.replaces_system,
        "stop": version.parameters.get("stop", []),
        "most_tokens": version.parameters.get("num_predict"),
        "samples": bool(SAMPLING & set(version.parameters)),
        "schema": schema_of(chosen.criteria.output),
    }


def schema_of(output: OutputFormat) -> dict[str, Any] | None:
    """Of the JSON that serving enforces; None where answers are free."""
    if not output.is_enforced:
        return None
    properties = {name: {"type": "string"} for name in output.fields}
    return {"type": "object", "properties": properties, "required": list(output.fields)}


def host_of(run: Run) -> Host:
    """The first enabled host of the pipeline's settings."""
    hosts = Host.objects.filter(client_id=run.client_id, is_enabled=True).order_by("id")
    names = run.revision.settings.hosts
    found = (hosts.filter(name__in=names) if names else hosts).first()
    if found is None:
        raise JobFailed(_("No enabled host to measure on: add one, or measure on the worker."), permanent=True)
    return found


def _adopted(row: Host, version: ModelVersion) -> tuple[str, str]:
    """Its name and digest where it stands; it can be placed nowhere."""
    placement = Placement.objects.filter(version=version, host=row, status="placed").first()
    if placement is None:
        raise JobFailed(
            _("%(label)s was adopted on another host than %(host)s, where this pipeline is measured.")
            % {"label": version.label, "host": row.name},
            permanent=True,
        )
    return placement.model_name, str(placement.facts["manifest_digest"])


def on_host(work: Work, arms: Mapping[str, ModelVersion]) -> dict[str, Any]:
    """Both versions placed on the host, and what pipelines.work.inference.on_host needs to ask them."""
    row = host_of(work.job.run)
    placed = {
        arm: _adopted(row, version) if version.is_adopted else place_on(row, version, work)
        for arm, version in arms.items()
    }
    with closing(open_adapter(row)) as adapter:
        version = adapter.probe().version
    return {
        **for_child(row),
        "names": {arm: name for arm, (name, _digest) in placed.items()},
        "digests": {arm: digest for arm, (_name, digest) in placed.items()},
        "label": f"{row.kind} {version} on {row.name}",
    }
