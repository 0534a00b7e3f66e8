"""The legal moves of runs, rollouts and jobs: one table each, and the check that every writer goes through."""

from collections.abc import Mapping
from enum import StrEnum


class RunStatus(StrEnum):
    """Where a run is. `queued` means: the next stage may be claimed."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    HELD = "held"
    SUCCEEDED = "succeeded"
    SKIPPED = "skipped"
    STOPPED = "stopped"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RolloutStatus(StrEnum):
    """Where a version is on its way to the traffic. `halted` waits for a person."""

    PLACED = "placed"
    STEPPING = "stepping"
    LIVE = "live"
    RETIRED = "retired"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    HALTED = "halted"


class JobStatus(StrEnum):
    """Where a piece of heavy work is. A lost lease moves `running` back to `queued`."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


Status = RunStatus | RolloutStatus | JobStatus

_R, _O, _J = RunStatus, RolloutStatus, JobStatus

RUN_MOVES: Mapping[RunStatus, frozenset[RunStatus]] = {
    # A rollback by a person or by another process ends a run in any live status.
    _R.QUEUED: frozenset({_R.RUNNING, _R.HELD, _R.ROLLED_BACK, _R.FAILED, _R.CANCELLED}),
    _R.RUNNING: frozenset(set(_R) - {_R.RUNNING}),
    _R.WAITING: frozenset({_R.QUEUED, _R.RUNNING, _R.HELD, _R.ROLLED_BACK, _R.FAILED, _R.CANCELLED}),
    _R.HELD: frozenset({_R.QUEUED, _R.RUNNING, _R.REJECTED, _R.STOPPED, _R.ROLLED_BACK, _R.CANCELLED}),
    _R.SUCCEEDED: frozenset(),
    _R.SKIPPED: frozenset(),
    _R.STOPPED: frozenset(),
    _R.REJECTED: frozenset(),
    _R.ROLLED_BACK: frozenset(),
    _R.FAILED: frozenset(),
    _R.CANCELLED: frozenset(),
}

ROLLOUT_MOVES: Mapping[RolloutStatus, frozenset[RolloutStatus]] = {
    # The first version goes from `placed` straight to `live`; a cancelled one is retired unseen.
    _O.PLACED: frozenset({_O.STEPPING, _O.LIVE, _O.ROLLING_BACK, _O.HALTED, _O.RETIRED}),
    _O.STEPPING: frozenset({_O.LIVE, _O.ROLLING_BACK, _O.HALTED}),
    _O.LIVE: frozenset({_O.RETIRED, _O.ROLLING_BACK, _O.HALTED}),
    _O.ROLLING_BACK: frozenset({_O.ROLLED_BACK, _O.HALTED}),
    _O.HALTED: frozenset({_O.STEPPING, _O.LIVE, _O.ROLLING_BACK, _O.RETIRED}),
    _O.RETIRED: frozenset(),
    _O.ROLLED_BACK: frozenset(),
}

JOB_MOVES: Mapping[JobStatus, frozenset[JobStatus]] = {
    _J.QUEUED: frozenset({_J.RUNNING, _J.FAILED, _J.CANCELLED}),
    _J.RUNNING: frozenset({_J.QUEUED, _J.SUCCEEDED, _J.FAILED, _J.CANCELLED}),
    _J.SUCCEEDED: frozenset(),
    _J.FAILED: frozenset(),
    _J.CANCELLED: frozenset(),
}


class IllegalMove(ValueError):
    """Somebody asked for a move that no table allows: a fault in the program, or a writer that came too late."""

    permanent = True


def allowed(status: Status) -> frozenset[Status]:
    """Every status that `status` may move to; empty when it is final."""
    match status:
        case RunStatus():
            return frozenset(RUN_MOVES[status])
        case RolloutStatus():
            return frozenset(ROLLOUT_MOVES[status])
        case JobStatus():
            return frozenset(JOB_MOVES[status])


def is_final(status: Status) -> bool:
    """Whether nothing can follow."""
    return not allowed(status)


def check_move(old: Status, new: Status) -> None:
    """Raise `IllegalMove` unless `old -> new` stands in the table of their kind."""
    if type(old) is not type(new) or new not in allowed(old):
        raise IllegalMove(f"{type(old).__name__}: {old} -> {new} is not a legal move")


LIVE_RUNS = frozenset(status for status in RunStatus if RUN_MOVES[status])
LIVE_JOBS = frozenset(status for status in JobStatus if JOB_MOVES[status])
