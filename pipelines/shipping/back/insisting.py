"""Rollbacks that do not come through at once: tried again for a day, and people are told how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType

from django.db.models import Q
from django.utils.timezone import now as clock
from django.utils.translation import gettext as _

from pipelines import outbox
from pipelines.domain.transitions import RolloutStatus
from pipelines.engine.jobs import JobFailed, Work
from pipelines.models import Rollback, Rollout

KIND = "rollback_stuck"
TRIED_FOR = timedelta(hours=24)
# A host that is started anew answers again by then.
TOLD_AFTER = 5


@dataclass
class Insisting:
    """Around one try at a rollback's job: what fails is tried again until the day is over, and told twice at most.

    Once when the first tries are behind, and again when it came through or was given up.
    """

    work: Work
    made: Rollback

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            outbox.tell_recovered(self.made.pipeline, KIND, clock())
        elif not self.work.cancelled():
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        is_late = clock() - self.work.job.created_at > TRIED_FOR
        if is_late or getattr(error, "permanent", False):
            self._give_up(str(error))
            raise JobFailed(_("Given up: %(why)s") % {"why": error}, permanent=True) from error
        if self.work.job.attempts >= TOLD_AFTER:
            self._tell("", str(error))

    def _give_up(self, why: str) -> None:
        end(self.made)
        self._tell(_("given up"), why)

    def _tell(self, given_up: str, why: str) -> None:
        made = self.made
        detail = {"rollback": made.pk, "to": made.target.label, "reason": why, "given_up": given_up}
        outbox.notify(made.from_version.run, KIND, clock(), detail)


def end(made: Rollback) -> None:
    """Its rollout waits for hosts no longer."""
    if made.rollout is not None and made.rollout.status == RolloutStatus.ROLLING_BACK:
        made.rollout.move(RolloutStatus.ROLLED_BACK, finished_at=clock())


def is_overtaken(made: Rollback) -> bool:
    """Whether a later rollback or a promotion of the pipeline decides where traffic goes."""
    since = made.moved_at
    later = Q(flipped_at__gt=since) if made.flipped_at else Q(pk__gt=made.pk)
    if Rollback.objects.filter(later, pipeline_id=made.pipeline_id).exclude(pk=made.pk).exists():
        return True
    return bool(Rollout.objects.filter(pipeline_id=made.pipeline_id, live_at__gt=since).exists())
