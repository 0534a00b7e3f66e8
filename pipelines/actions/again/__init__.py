"""A run that ended is gone on with: a new run begins at a stage of it, with what its earlier stages made."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from pipelines.actions.again.heritage import hand_over, left_of
from pipelines.actions.refused import ActionRefused
from pipelines.actions.runs import create_run, state_of
from pipelines.domain.change import again
from pipelines.domain.transitions import RunStatus
from pipelines.models import Run
from tenants.models import AuditEvent, Pipeline


def stages_of(run: Run) -> tuple[str, ...]:
    """Where the run may be gone on with, for all that its row says."""
    return again.offered(run.status, run.stage, run.path)


def obstacle(run: Run, stage: str) -> str:
    """Why it cannot be gone on with from there, in a sentence; empty where it can."""
    if run.is_live:
        return _("Run %(number)s is still live.") % {"number": run.number}
    if stage not in stages_of(run):
        words = {"number": run.number, "status": run.status, "stage": run.stage, "from": stage}
        return _("Run %(number)s ended as %(status)s in %(stage)s: it cannot go on from %(from)s.") % words
    if run.is_import and stage == "finetune":
        return _("Run %(number)s brought a model: bring its file again.") % {"number": run.number}
    return again.missing(left_of(run), stage)


@transaction.atomic
def rerun_from(run: Run, stage: str, *, actor: str, reason: str, now: datetime, by_key: bool = False) -> Run:
    """The new run, with today's settings. As a forced one it passes the cooldown, and needs a reason.

    A key goes on only with what broke: what was turned down takes a person.
    """
    if not reason.strip():
        raise ActionRefused(_("Say why: the reason is kept in the ledger."))
    if by_key and run.status in again.TURNED_DOWN:
        raise ActionRefused(_("It ended as %(status)s: a person goes on with it.") % {"status": RunStatus(run.status)})
    pipeline = Pipeline.objects.select_related("revision", "client").get(pk=run.pipeline_id)
    why_not = obstacle(run, stage)
    if why_not:
        raise ActionRefused(why_not)
    occasion = {"kind": "again", "by": actor, "reason": reason, "forced": True, "of": run.number, "from": stage}
    made = create_run(state_of(pipeline), occasion, now)
    hand_over(run, made, stage, now)
    detail = {"of": run.number, "from": stage, "reason": reason}
    AuditEvent.append(pipeline, actor, "run.again", f"{pipeline.slug} run {made.number}", now, detail)
    return made
