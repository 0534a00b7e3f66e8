"""The tables of legal moves: complete, with an exit everywhere, and enforced."""

from collections.abc import Mapping
from enum import StrEnum
from itertools import product

import pytest

from pipelines.domain.transitions import (
    JOB_MOVES,
    ROLLOUT_MOVES,
    RUN_MOVES,
    IllegalMove,
    JobStatus,
    RolloutStatus,
    RunStatus,
    Status,
    allowed,
    check_move,
    is_final,
)

TABLES: list[tuple[type[StrEnum], Mapping[StrEnum, frozenset[StrEnum]]]] = [
    (RunStatus, RUN_MOVES),  # type: ignore[list-item]
    (RolloutStatus, ROLLOUT_MOVES),  # type: ignore[list-item]
    (JobStatus, JOB_MOVES),  # type: ignore[list-item]
]
FINAL = {
    RunStatus: {"succeeded", "skipped", "stopped", "rejected", "rolled_back", "failed", "cancelled"},
    RolloutStatus: {"retired", "rolled_back"},
    JobStatus: {"succeeded", "failed", "cancelled"},
}


def _reachable(table: Mapping[StrEnum, frozenset[StrEnum]], start: StrEnum) -> set[StrEnum]:
    seen, front = {start}, [start]
    while front:
        for status in table[front.pop()] - seen:
            seen.add(status)
            front.append(status)
    return seen


@pytest.mark.parametrize(("kind", "table"), TABLES)
def test_every_status_stands_in_its_table(kind: type[StrEnum], table: Mapping[StrEnum, frozenset[StrEnum]]) -> None:
    assert set(table) == set(kind)


@pytest.mark.parametrize(("kind", "table"), TABLES)
def test_every_non_final_status_reaches_an_end(
    kind: type[StrEnum], table: Mapping[StrEnum, frozenset[StrEnum]]
) -> None:
    ends = {status for status in kind if not table[status]}
    assert ends == FINAL[kind]  # type: ignore[index]
    for status in kind:
        assert _reachable(table, status) & ends


@pytest.mark.parametrize(("kind", "table"), TABLES)
def test_every_status_can_be_reached_from_the_first(
    kind: type[StrEnum], table: Mapping[StrEnum, frozenset[StrEnum]]
) -> None:
    assert _reachable(table, next(iter(kind))) == set(kind)


@pytest.mark.parametrize(("kind", "table"), TABLES)
def test_check_move_allows_exactly_the_table(kind: type[StrEnum], table: Mapping[StrEnum, frozenset[StrEnum]]) -> None:
    for old, new in product(kind, kind):
        if new in table[old]:
            check_move(old, new)  # type: ignore[arg-type]
        else:
            with pytest.raises(IllegalMove, match=f"{old} -> {new}"):
                check_move(old, new)  # type: ignore[arg-type]


def test_a_run_status_is_not_a_job_status() -> None:
    with pytest.raises(IllegalMove):
        check_move(RunStatus.QUEUED, JobStatus.RUNNING)


@pytest.mark.parametrize("status", [*RunStatus, *RolloutStatus, *JobStatus])
def test_no_status_moves_to_itself(status: Status) -> None:
    assert status not in allowed(status)


def test_a_version_that_was_rolled_back_stays_so() -> None:
    assert is_final(RolloutStatus.ROLLED_BACK)
    assert is_final(RunStatus.ROLLED_BACK)
