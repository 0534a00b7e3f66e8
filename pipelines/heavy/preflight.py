"""Job preflight: base, template, converter, disk and hosts, before a training spends an hour."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pipelines.artifacts import digest_of, store_of, wipe_scratch
from pipelines.engine.jobs import JobFailed, Work
from pipelines.fleet import adapters
from pipelines.heavy.children import base_folder, run_child
from pipelines.heavy.train import trainer_recipe
from pipelines.models import DatasetVersion


def work(work: Work) -> dict[str, Any]:
    run = work.job.run
    recipe = run.revision.settings.recipe
    base = base_folder(recipe.base)
    if unable := adapters.refusals(run.client_id, run.revision.settings):
        raise JobFailed("; ".join(unable), permanent=True)
    dataset = DatasetVersion.objects.get(run=run)
    spec = {
        "base": str(base),
        "dataset": str(store_of(run.client_id).verified(dataset.digest)),
        "recipe": trainer_recipe(recipe),
    }
    facts = run_child(work, "preflight", spec)
    wipe_scratch(work.job.pk)
    return facts | {"base_digest": folder_digest(base)}


def folder_digest(folder: Path) -> str:
    """One digest over the names and bytes of a base model's files."""
    lines = [f"{digest_of(p)}  {p.relative_to(folder)}" for p in sorted(folder.rglob("*")) if p.is_file()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
