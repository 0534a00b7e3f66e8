"""The trainer of what was trained elsewhere: takes a bundle that somebody brought, and nothing of it on trust."""

from __future__ import annotations

import time
from collections.abc import Mapping

from pipelines.bundles import Bundle, take
from pipelines.trainers import Order, Progress, Trained
from pipelines.trainers.marker import file_digest, write_marker


class ImportTrainer:
    """`order.dataset` is the bundle. Taken anew after a kill: it takes seconds."""

    def train(self, order: Order, progress: Progress) -> Trained:
        started = time.monotonic()
        progress(0.1, "taking the bundle", {"bytes": order.dataset.stat().st_size})
        bundle = take(order.dataset, order.out)
        origin = {"bundle_digest": file_digest(order.dataset)}
        trained = received(order, "import", bundle, origin, seconds=time.monotonic() - started)
        write_marker(order.out, {"trained": trained.as_dict()})
        progress(1.0, "taken", {"bytes": bundle.total_bytes, "left_out": len(bundle.left_out)})
        return trained


def received(order: Order, trainer: str, bundle: Bundle, origin: Mapping[str, object], *, seconds: float) -> Trained:
    """Facts of what came as a bundle: of the training itself nothing is known but what `origin` tells."""
    left_out = {"files_left_out": list(bundle.left_out[:50])} if bundle.left_out else {}
    return Trained(
        adapter=order.out,
        trainer=trainer,
        steps=None,
        epochs=None,
        examples=None,
        left_out=0,
        first_loss=None,
        last_loss=None,
        held_out_loss=None,
        stopped_early=False,
        trained_parameters=None,
        seconds=round(seconds, 1),
        device="elsewhere",
        precision="unknown",
        resumed_at_step=0,
        kind=bundle.kind,
        origin={**origin, **left_out},
    )
