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
    dataset = DatasetVersion.objects.filter(run=run).first()  # None of a run that brings a model.
    spec = {
        "base": str(base),
        "dataset": str(store_of(run.client_id).verified(dataset.digest)) if dataset else None,
        "recipe": trainer_recipe(recipe),
    }
    facts = run_child(work, "preflight", spec)
    wipe_scratch(work.job.pk)
    files = files_of(base)
    return facts | {"base_digest": digest_over(files), "base_files": files}


def files_of(folder: Path) -> dict[str, list[Any]]:
    """Name -> [digest, bytes] of a base model's files: what a machine that fetches them compares with."""
    found = {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*")) if p.is_file()}
    return {name: [digest_of(path), path.stat().st_size] for name, path in found.items()}


def folder_digest(folder: Path) -> str:
    """One digest over the names and bytes of a base model's files."""
    return digest_over(files_of(folder))


def digest_over(files: dict[str, list[Any]]) -> str:
    lines = [f"{digest}  {name}" for name, (digest, _size) in files.items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
