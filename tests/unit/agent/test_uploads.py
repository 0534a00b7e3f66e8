"""Files on their way to a host: gone on with after any end, never twice, and never where the disk is full."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from agency.agent.uploads import KEPT_S, SPARE_BYTES, Damaged, Files, NoSpace, fetched
from pipelines.worker.link import Answer, Link, Stopped

BODY = os.urandom(100_000)
DIGEST = hashlib.sha256(BODY).hexdigest()
TOLD = {"digest": DIGEST, "size_bytes": len(BODY), "url": "/upload"}
PIECE = 10_000


class Giving(Link):
    """Headquarters that gives the file in pieces, and notes from where it was asked."""

    asked: list[int]

    def ask(self, method: str, url: str, stop: Any, body: bytes | None = None, headers: Any = None) -> Answer:
        begin = int(headers["Range"].removeprefix("bytes=").rstrip("-"))
        self.asked.append(begin)
        return Answer(206, BODY[begin : begin + PIECE], {})


@pytest.fixture
def link() -> Giving:
    made = Giving("https://retune.example", "ra_x", room="agent")
    made.asked = []
    return made


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(tmp_path / "files")
    made.open()
    return made


def never() -> bool:
    return False


def test_it_goes_on_where_it_was_ended(link: Giving, files: Files) -> None:
    told: list[int] = []
    with files.alone_with(DIGEST, never) as place:
        with pytest.raises(Stopped):
            fetched(link, TOLD, place, lambda: len(link.asked) == 4, told.append)
        assert (link.asked, told) == ([0, 10_000, 20_000, 30_000], [0, 10_000, 20_000, 30_000, 40_000])
    Files(files.folder).open()  # As after a restart.
    with files.alone_with(DIGEST, never) as place:
        fetched(link, TOLD, place, never, told.append)
        assert place.read_bytes() == BODY
    assert link.asked[4] == 40_000 and len(link.asked) == 10 and told[-1] == len(BODY)


@pytest.mark.parametrize("left", [b"something else", BODY + b"more"], ids=["other bytes", "too many"])
def test_what_lies_there_and_is_not_its_beginning_is_found_out(link: Giving, files: Files, left: bytes) -> None:
    place = files.folder / DIGEST
    place.write_bytes(left)
    with pytest.raises(Damaged):
        fetched(link, TOLD, place, never, lambda _done: None)


def test_two_hands_never_fetch_one_file_side_by_side(link: Giving, files: Files) -> None:
    entered: list[str] = []

    def second() -> None:
        with files.alone_with(DIGEST, never):
            entered.append("second")

    with files.alone_with(DIGEST, never):
        thread = threading.Thread(target=second)
        thread.start()
        with pytest.raises(Stopped), files.alone_with(DIGEST, lambda: True):
            raise AssertionError("two are in")
        assert entered == []
    thread.join(5)
    assert entered == ["second"]


def test_a_file_that_does_not_fit_is_refused_before_a_byte_of_it(files: Files) -> None:
    given_up, place = files.folder / ("a" * 64), files.folder / DIGEST
    given_up.write_bytes(b"x" * 1000)
    place.write_bytes(BODY[:1000])
    with pytest.raises(NoSpace, match="no space left beside the host"):
        files.room_for(1 << 60, place)
    assert place.exists() and not given_up.exists()


def test_room_for_the_hosts_copy_is_made_where_it_lies_here_and_refuses_nothing(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up, place = files.folder / ("a" * 64), files.folder / DIGEST
    given_up.write_bytes(b"x")
    monkeypatch.setattr("agency.agent.uploads.Files._free", lambda _files: SPARE_BYTES + 1500)
    files.room_for(1000, place)
    assert given_up.exists()
    files.is_host_here = True
    with files.alone_with(given_up.name, never):
        files.room_for(1000, place)
        assert given_up.exists()  # Another hand is at it.
    files.room_for(1000, place)
    assert not given_up.exists()


def test_what_nobody_came_back_for_goes_after_days(files: Files) -> None:
    old, young = files.folder / ("a" * 64), files.folder / ("b" * 64)
    for place in (old, young):
        place.write_bytes(b"x")
    os.utime(old, (time.time() - KEPT_S - 60,) * 2)
    Files(files.folder).open()
    assert [place.name for place in files.folder.iterdir()] == [young.name]
