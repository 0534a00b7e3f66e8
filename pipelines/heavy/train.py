"""Job train: the locked recipe on the frozen dataset; gives an adapter. Resumes from its last checkpoint.

A run that brings a model takes its bundle instead. What was not trained here is compared with its base."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.utils.timezone import now
from django.utils.translation import gettext as _

from pipelines.artifacts import scratch_of, store_of
from pipelines.engine.jobs import JobFailed, JobGoesOn, Work, growing_pause_s
from pipelines.heavy.children import base_folder, run_child
from pipelines.heavy.elsewhere.seats import Seat, seat_of
from pipelines.heavy.errands import carry
from pipelines.models import DatasetVersion, Job, Run
from pipelines.work.errand import Done, Errand, Input, Step
from tenants.pipeline_settings import Recipe

NOT_FOR_TRAINERS = {"base", "trainer", "quantisation", "delivery", "needs_gpu"}
OWN = "peft"


def work(work: Work) -> dict[str, Any]:
    told = seat_of(work.job)
    prepared = partial(_prepared, told=told)
    return carry(work, prepared, keep, told.secret if told.network else None)


def prepare(work: Work) -> Errand:
    return _prepared(work, seat_of(work.job))


def may_leave(run: Run) -> bool:
    """Whether it is this product's own training, which is the same wherever it runs."""
    return not run.is_import and run.revision.settings.recipe.trainer == OWN


def _prepared(work: Work, told: Seat) -> Errand:
    spec, inputs = order_of(work.job, told, {"@in": "base"}, {"@in": "dataset"}), _inputs(work.job)
    return Errand(inputs, (Step("train", spec | {"out": {"@out": "adapter"}}, (0.0, 0.9)),), {"adapter": "folder"})


def _inputs(job: Job) -> dict[str, Input]:
    learnt_from = Input("file", _learnt_from(job.run))
    return {"base": Input("base", name=job.run.revision.settings.recipe.base), "dataset": learnt_from}


def keep(work: Work, errand: Errand, done: Done) -> dict[str, Any]:
    folder, facts = done.out / "adapter", dict(done.said["train"])
    if under_way := facts.get("goes_on"):
        _refuse_endless(work)
        raise _goes_on(work.job, **under_way)
    facts.pop("adapter", None)  # Its path in the scratch folder: nobody's business, and gone in a moment.
    if work.job.handed:
        facts |= {"origin": "", "kind": "adapter"}  # Its word is not taken for what is brought from elsewhere.
    if work.job.handed or facts.get("origin"):
        base = str(base_folder(work.job.run.revision.settings.recipe.base))
        regard = {"base": base, "taken": str(folder), "form": facts["kind"]}
        facts["template"] = run_child(work, "received", regard, (0.9, 1.0))
    return facts | {"adapter_digest": store_of(work.job.client_id).put_folder(folder)}


def spec_of(job: Job, told: Seat) -> dict[str, Any]:
    """What a child here is told; the same for every attempt at the job."""
    base = str(base_folder(job.run.revision.settings.recipe.base))
    dataset = str(store_of(job.client_id).verified(_learnt_from(job.run)))
    return order_of(job, told, base, dataset) | {"out": str(scratch_of(job.pk) / "out" / "adapter")}


def order_of(job: Job, told: Seat, base: Any, dataset: Any) -> dict[str, Any]:
    recipe = trainer_recipe(job.run.revision.settings.recipe)
    return {"trainer": told.trainer, "base": base, "dataset": dataset, "recipe": recipe, "site": told.site}


def _goes_on(job: Job, after_s: float, error: str = "", **_said: Any) -> JobGoesOn:
    """A service that does not answer is asked less and less often."""
    again = job.spec.get("unanswered", 0) + 1 if error else 0
    return JobGoesOn(growing_pause_s(after_s, again), error)


def _refuse_endless(work: Work) -> None:
    """A service that never ends a training does not hold the pipeline for ever."""
    hours = settings.TRAINING_HOURS
    if now() - work.job.created_at > timedelta(hours=hours):
        raise JobFailed(_("The service has not ended the training within %(n)s hours.") % {"n": hours}, permanent=True)


def _learnt_from(run: Run) -> str:
    """Digest of the bundle that was brought, or of the frozen rows."""
    if run.is_import:
        return str(run.occasion["bundle"]["digest"])
    return DatasetVersion.objects.get(run=run).digest


def trainer_recipe(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(exclude=NOT_FOR_TRAINERS)
