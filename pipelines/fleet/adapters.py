"""Which hosts can serve a base with LoRA adapters beside it, by what the last look at each found."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from pipelines.hosts import Generation
from pipelines.hosts.versions import why_no_adapters
from tenants.models import Host
from tenants.pipeline_settings import PipelineSettings


def refusals(client_id: int, chosen: PipelineSettings) -> list[str]:
    """A sentence for each host of these settings that cannot; none where merged files are shipped.

    A host that nobody has looked at yet is judged when a version is sent to it.
    """
    if chosen.recipe.delivery != "adapter":
        return []
    hosts = Host.objects.filter(client_id=client_id, is_enabled=True).order_by("name")
    return list(_refusals(hosts.filter(name__in=chosen.hosts) if chosen.hosts else hosts, chosen.recipe.base))


def _refusals(hosts: Iterable[Host], base: str) -> Iterable[str]:
    architecture = architecture_of(base)
    for host in hosts:
        if host.facts.get("generation"):
            generation = Generation(host.facts["generation"])
            why = why_no_adapters(str(host.facts.get("version", "")), generation, architecture)
            if why:
                yield f"{host.name}: {why}"


def architecture_of(base: str) -> str:
    """As the base's own configuration calls it; empty where that cannot be read here."""
    path = Path(settings.BASES.get(base, "")) / "config.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8")).get("model_type", ""))
    except (OSError, ValueError):
        return ""
