"""Job hops: how much quality each step from the base model to the host cost, for one version, when somebody asks."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from pipelines.artifacts import scratch_of, store_of, wipe_scratch
from pipelines.engine.jobs import JobFailed, Work
from pipelines.heavy.arms import manner_of
from pipelines.heavy.children import base_folder, run_child
from pipelines.heavy.measure import latest_sets, write_set
from pipelines.heavy.push import open_adapter
from pipelines.models import ModelVersion, Placement
from pipelines.reach import for_child, secret_for_child
from tenants.models.eval_set import EvalKind


def work(work: Work) -> dict[str, Any]:
    run, scratch = work.job.run, scratch_of(work.job.pk)
    version = ModelVersion.objects.select_related("run__revision").get(run=run)
    store, chosen = store_of(run.client_id), run.revision.settings
    heldout = next((made for made in latest_sets(run.pipeline_id) if made.kind == EvalKind.HELDOUT), None)
    if heldout is None or not heldout.size:
        raise JobFailed(_("There is no held-out set to measure with."), permanent=True)
    placement = _placement(version)
    spec = {
        "base": str(base_folder(version.card.get("base_model") or chosen.recipe.base)),
        "adapter": str(store.unpack_folder(version.adapter_digest, scratch / "adapter")),
        "shipped": str(store.verified(version.gguf_digest)),
        "shipped_lora": str(store.verified(version.lora_digest)) if version.lora_digest else None,
        "sets": [write_set(run, heldout, scratch)],
        "context_tokens": chosen.criteria.context_tokens,
        "manner": manner_of(version, chosen),
        "own_metrics": settings.OWN_METRICS,
        "out": str(scratch / "out"),
        "host": _spec_of(placement) if placement else None,
    }
    secret = secret_for_child(placement.host) if placement else {}
    found = run_child(work, "hops", spec, network=placement is not None, secret=secret)
    wipe_scratch(work.job.pk)
    return found | {"set_version": heldout.version}


def _placement(version: ModelVersion) -> Placement | None:
    """Where the version stands; None where it stands nowhere."""
    placed = Placement.objects.select_related("host").filter(version=version, status="placed", host__is_enabled=True)
    return placed.order_by("host__name").first()


def _spec_of(placement: Placement) -> dict[str, Any]:
    row = placement.host
    adapter = open_adapter(row)
    try:
        label = f"{row.kind} {adapter.probe().version} on {row.name}"
    finally:
        adapter.close()
    return {
        **for_child(row),
        "names": {"host": placement.model_name},
        "digests": {"host": placement.facts.get("manifest_digest", "")},
        "label": label,
    }
