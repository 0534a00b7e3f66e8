"""Job train: the locked recipe on the frozen dataset; gives an adapter. Resumes from its last checkpoint."""

from __future__ import annotations

from typing import Any

from pipelines.artifacts import scratch_of, store_of, wipe_scratch
from pipelines.engine.jobs import Work
from pipelines.heavy.children import base_folder, run_child
from pipelines.models import DatasetVersion
from tenants.pipeline_settings import Recipe

NOT_FOR_TRAINERS = {"base", "trainer", "quantisation", "delivery"}


def work(work: Work) -> dict[str, Any]:
    run = work.job.run
    recipe = run.revision.settings.recipe
    store = store_of(run.client_id)
    dataset = DatasetVersion.objects.get(run=run)
    out = scratch_of(work.job.pk) / "adapter"
    spec = {
        "trainer": recipe.trainer,
        "base": str(base_folder(recipe.base)),
        "dataset": str(store.verified(dataset.digest)),
        "recipe": trainer_recipe(recipe),
        "out": str(out),
    }
    facts = run_child(work, "train", spec)
    facts.pop("adapter")  # Its path in the scratch folder: nobody's business, and gone in a moment.
    adapter = store.put_folder(out)
    wipe_scratch(work.job.pk)
    return facts | {"adapter_digest": adapter}


def trainer_recipe(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(exclude=NOT_FOR_TRAINERS)
