"""What a person can order on a run's page: its words, when it is offered, and the act."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from pipelines import actions
from pipelines.models import Rollout, Run

IN_TRAFFIC = ("stepping", "live", "halted")


@dataclass(frozen=True)
class Decision:
    """`statuses`: of the run. `is_of_rollout`: an order to the rollout itself."""

    name: str
    button: str | Promise
    says: str | Promise
    done: str | Promise
    act: Callable[..., None]
    statuses: tuple[str, ...] = ("queued", "running", "waiting", "held")
    is_of_rollout: bool = False
    tone: str = "primary"


APPROVE = Decision(
    "approve",
    _("Approve"),
    _("The run goes on from where it is held. Your name and reason stand on the version card."),
    _("Approved. The run goes on."),
    actions.approve,
    ("held",),
)
REJECT = Decision(
    "reject",
    _("Reject"),
    _("The run ends here. Production stays as it is; the candidate is archived."),
    _("Rejected. Production stays as it is."),
    actions.reject,
    ("held",),
    tone="danger",
)
TAKE = Decision(
    "acknowledge",
    _("I look at it"),
    _("Nobody is reminded of this run any more, and the owners are not told. It goes on waiting for a decision."),
    _("It is yours: nobody is reminded of it any more."),
    actions.acknowledge,
    ("held",),
    tone="plain",
)
CANCEL = Decision(
    "cancel",
    _("Cancel"),
    _("The run ends. Work in progress is stopped; production stays as it is."),
    _("The run is being cancelled."),
    actions.cancel,
    tone="danger",
)
PAUSE = Decision(
    "pause-rollout",
    _("Pause rollout"),
    _("The version keeps the share of the traffic that it has. Guardrails go on, and take it back when they fire."),
    _("Paused. The version keeps its share."),
    actions.pause_rollout,
    is_of_rollout=True,
    tone="plain",
)
RESUME = Decision(
    "resume-rollout",
    _("Resume rollout"),
    _("The steps go on. Time and evidence of the pause count."),
    _("Resumed."),
    actions.resume_rollout,
    is_of_rollout=True,
)
PROMOTE = Decision(
    "promote-now",
    _("Promote now"),
    _("All the traffic goes to the new version at once, whatever evidence is missing. Your name stands on its card."),
    _("Promoted. The monitor watches it."),
    actions.promote_rollout,
    is_of_rollout=True,
    tone="plain",
)
ABORT = Decision(
    "abort-rollout",
    _("Abort rollout"),
    _("All the traffic goes back to production at once, and the run ends as rolled back."),
    _("Aborted. Production has all the traffic."),
    actions.abort_rollout,
    is_of_rollout=True,
    tone="danger",
)

DECISIONS = {d.name: d for d in (APPROVE, REJECT, TAKE, CANCEL, PAUSE, RESUME, PROMOTE, ABORT)}
CONFIRM = replace(APPROVE, button=_("Confirm"), says=_("The data is as it should be: the run goes on with it."))


def offered(run: Run, rollout: Rollout | None) -> list[Decision]:
    """What can be ordered of the run now. A version that already answers traffic is rolled back, not turned down."""
    names = [d.name for d in DECISIONS.values() if run.status in d.statuses and not d.is_of_rollout]
    if rollout is not None and rollout.status in IN_TRAFFIC:
        names = [name for name in names if name in (APPROVE.name, TAKE.name)]
    return [decision_of(run, name) for name in names]


def offered_of_rollout(run: Run, rollout: Rollout | None) -> list[Decision]:
    """What can be ordered of a version on its way. One that was halted at 100 % is rolled back, or approved."""
    if rollout is None or rollout.previous is None or not (run.is_live and rollout.is_on_its_way):
        return []
    unfit = PAUSE if rollout.is_paused else RESUME
    return [d for d in DECISIONS.values() if d.is_of_rollout and d is not unfit]


def decision_of(run: Run, name: str) -> Decision:
    """KeyError for an unknown name; held data is confirmed, everything else approved."""
    return CONFIRM if (name, run.stage) == ("approve", "validate") else DECISIONS[name]
