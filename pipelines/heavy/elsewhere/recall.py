"""Job recall: a run ended while a service trained for it. It is ended there, and the client's rows are removed."""

from __future__ import annotations

from typing import Any

from pipelines.artifacts import wipe_scratch
from pipelines.engine.jobs import Work
from pipelines.heavy.children import run_child
from pipelines.heavy.elsewhere.seats import seat_of
from pipelines.heavy.train import spec_of
from pipelines.models import Job


def work(work: Work) -> dict[str, Any]:
    trained = Job.objects.get(run=work.job.run, stage="finetune", kind="train")
    told = seat_of(trained, for_recall=True)
    facts = run_child(work, "recall", spec_of(trained, told), network=told.network, secret=told.secret)
    wipe_scratch(work.job.pk)
    return facts
