"""Carries an errand out: in children of this worker, or by taking in what a machine has handed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipelines.artifacts import scratch_of, store_of, wipe_scratch
from pipelines.engine.jobs import Work, start_over
from pipelines.heavy.children import base_folder, run_child
from pipelines.heavy.errands.received import MakerDistrusted, PartsGone, forget_parts, received
from pipelines.work.errand import Done, Errand, Input, Places, Step, carry_out

Prepare = Callable[[Work], Errand]
Keep = Callable[[Work, Errand, Done], dict[str, Any]]


def carry(work: Work, prepare: Prepare, keep: Keep, secret: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The job's result. `keep` puts into the store what the errand made and is the same wherever that was.

    `secret`: what opens a host; then its children may use the network, and the errand never leaves.
    """
    if work.job.handed:
        errand = Errand.parse(work.job.errand)
        done = _taken_in(work, errand)
    else:
        errand = prepare(work)
        done = _here(work, errand, secret)
    result = keep(work, errand, done)
    # Not before: an attempt whose result was not written down is followed by one that needs all of it again.
    work.afterwards += [lambda: wipe_scratch(work.job.pk), lambda: forget_parts(work.job)]
    return result


def _taken_in(work: Work, errand: Errand) -> Done:
    try:
        return received(work.job, errand)
    except (PartsGone, MakerDistrusted):
        if start_over(work):
            forget_parts(work.job)
        raise


def _here(work: Work, errand: Errand, secret: Mapping[str, str] | None) -> Done:
    scratch = scratch_of(work.job.pk)
    inputs = {name: _input(work, name, one) for name, one in errand.inputs.items()}
    network = secret is not None

    def run(step: Step, spec: dict[str, Any]) -> dict[str, Any]:
        return run_child(work, step.kind, spec, step.span, network=network, secret=secret)

    return carry_out(errand, Places(inputs, scratch / "out", scratch / "between"), run)


def _input(work: Work, name: str, one: Input) -> Path:
    store = store_of(work.job.client_id)
    match one.kind:
        case "base":
            return base_folder(one.name)
        case "folder":
            return store.unpack_folder(one.digest, scratch_of(work.job.pk) / "in" / name)
        case _:
            return store.verified(one.digest)
