"""The artifact store: whole or absent, checked before it is trusted."""

from __future__ import annotations

import hashlib
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.artifacts import ArtifactDamaged, ArtifactMissing, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_what_goes_in_comes_out_under_its_digest(store: Store) -> None:
    digest = store.put_bytes(b"weights")
    assert digest == hashlib.sha256(b"weights").hexdigest()
    assert store.verified(digest).read_bytes() == b"weights"


def test_the_same_folder_gives_the_same_digest_whenever_it_was_written(store: Store, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "a.txt").write_text("a")
        os.utime(tmp_path / name / "inner" / "a.txt", (len(name), 1000))
    digests = {store.put_folder(tmp_path / name) for name in ("one", "two")}
    assert len(digests) == 1
    assert (store.unpack_folder(digests.pop(), tmp_path / "out") / "inner" / "a.txt").read_text() == "a"


def test_bytes_that_changed_on_disk_are_never_used(store: Store) -> None:
    digest = store.put_bytes(b"weights")
    store.path(digest).write_bytes(b"weighty")
    with pytest.raises(ArtifactDamaged, match="Restore it from a backup"):
        store.verified(digest)


def test_an_artifact_that_is_not_there_says_so(store: Store) -> None:
    with pytest.raises(ArtifactMissing):
        store.path("0" * 64)


@pytest.mark.parametrize("what", ["lines", "folder", "beside"])
def test_a_disk_without_room_leaves_nothing_half_written(store: Store, tmp_path: Path, what: str) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "weights").write_bytes(bytes(2_000_000))
    digest = store.put_bytes(b"weights")
    writes = {
        "lines": lambda: store.put_lines(b"x" * 999 for _ in range(2_000)),
        "folder": lambda: store.put_folder(adapter),
        "beside": lambda: store.put_beside(digest, "version.yaml", bytes(2_000_000)),
    }
    # The kernel refuses the write in a child whose files may hold 1 MB only, as a full disk would.
    child = os.fork()
    if child == 0:
        os._exit(_write_too_much(writes[what]))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [path for path in store.root.rglob("*") if path.is_file()] == [store.path(digest)]


def _write_too_much(write: Callable[[], object]) -> int:
    from signal import SIG_IGN, SIGXFSZ, signal

    from pipelines.artifacts import StoreFull

    signal(SIGXFSZ, SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    try:
        write()
    except StoreFull as error:
        return 0 if "free some disk space" in str(error) else 1
    return 2
