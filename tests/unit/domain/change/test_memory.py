"""The ladder of memory: beside each other, on a second host, one at a time, nowhere."""

from __future__ import annotations

import pytest

from pipelines.domain.change.memory import Need, Room, Rung, fit, need

GIB = 2**30


def room(host: str, memory: float | None, others: float = 0, holds: bool = True, production: bool = True) -> Room:
    """Both versions take 4 GiB."""
    four = Need(4 * GIB, "measured")
    size = None if memory is None else round(memory * GIB)
    return Room(host, size, round(others * GIB), four, four if production else None, holds and production)


@pytest.mark.parametrize(
    ("rooms", "rung", "hosts"),
    [
        ([room("a", 8)], Rung.CO_RESIDENT, ("a",)),
        ([room("a", None)], Rung.CO_RESIDENT, ("a",)),
        ([room("a", 7.9)], Rung.ONE_AT_A_TIME, ("a",)),
        ([room("a", 8, others=0.5)], Rung.ONE_AT_A_TIME, ("a",)),
        ([room("a", 3)], Rung.NOWHERE, ()),
        ([room("a", 5), room("b", 5, holds=False)], Rung.SECOND_HOST, ("b",)),
        ([room("a", 5), room("b", 12)], Rung.CO_RESIDENT, ("b",)),
        ([room("a", 12), room("b", 5, holds=False)], Rung.CO_RESIDENT, ("a", "b")),
        ([room("a", 5), room("b", 3, holds=False)], Rung.ONE_AT_A_TIME, ("a",)),
        ([room("a", 5, production=False)], Rung.CO_RESIDENT, ("a",)),
        ([], Rung.NOWHERE, ()),
    ],
)
def test_the_first_rung_that_holds_is_taken(rooms: list[Room], rung: Rung, hosts: tuple[str, ...]) -> None:
    found = fit(rooms)

    assert (found.rung, found.hosts) == (rung, hosts)
    assert found.is_known == any(room.memory_bytes is not None for room in rooms)


def test_what_the_host_says_goes_before_what_a_sibling_took_and_that_before_a_guess() -> None:
    assert need(1000, 1500, (1000, 1300)) == Need(1500, "measured")
    assert need(2000, None, (1000, 1300)) == Need(2600, "sibling")
    assert need(1000, None, None) == Need(1200, "guessed")


def test_a_sibling_is_never_taken_as_smaller_than_its_file() -> None:
    assert need(2000, None, (1000, 900)).size_bytes == 2000
    assert need(2000, None, (0, 900)).basis == "guessed"
