"""A rollout on its way: where it stands, and what may be ordered of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Router

from agency.api.auth import Key, actor_of
from agency.api.lookup import key_in, open_run
from agency.api.schemas import PauseIn, Refusal, RolloutOut
from pipelines import actions
from pipelines.models import Rollout, Run
from pipelines.reports.shipping.rollout import rollout_panel

router = Router(tags=["rollouts"], auth=Key("rollback"))


class Order(StrEnum):
    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"


ACTS: dict[Order, Callable[..., None]] = {
    Order.PAUSE: actions.pause_rollout,
    Order.RESUME: actions.resume_rollout,
    Order.PROMOTE: actions.promote_rollout,
    Order.ABORT: actions.abort_rollout,
}


@router.get("/pipelines/{slug}/runs/{int:number}/rollout", response=RolloutOut, auth=Key("runs", "rollback"))
def read_rollout(request: HttpRequest, slug: str, number: int) -> dict[str, Any]:
    """The live split, the step, the evidence of each guardrail and what is missing. 404 before the first placement."""
    return _shown(open_run(request, slug, number))


@router.post("/pipelines/{slug}/runs/{int:number}/rollout/{order}", response={200: RolloutOut, 409: Refusal})
def order_rollout(request: HttpRequest, slug: str, number: int, order: Order, asked: PauseIn) -> dict[str, Any]:
    """Pause, resume, promote now or abort, with a reason. 409 when no version of the run is on its way."""
    run, actor = open_run(request, slug, number), actor_of(key_in(request))
    ACTS[order](run, actor=actor, reason=asked.reason, now=timezone.now())
    return _shown(run)


def _shown(run: Run) -> dict[str, Any]:
    rollout = Rollout.objects.select_related("version", "previous", "run").filter(run=run).first()
    if rollout is None:
        raise Http404
    panel = rollout_panel(rollout, run, timezone.now())
    return {
        "status": rollout.status,
        "version": rollout.version.label,
        "previous": rollout.previous.label if rollout.previous else None,
        "step": rollout.step,
        "share": panel.share if panel else None,
        "is_paused": rollout.is_paused,
        "missing": panel.decision.sentence if panel else "",
        "pairs": panel.pairs if panel else 0,
        "guardrails": [asdict(line) for line in panel.guardrails] if panel else [],
    }
