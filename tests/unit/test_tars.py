"""A folder as one tar and back: the same bytes, and nothing but files inside the folder."""

import io
import tarfile
from pathlib import Path

import pytest

from pipelines.tars import BadTar, pack, unpack


def test_what_was_packed_comes_back(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "a.txt").write_bytes(b"a")
    (tmp_path / "in" / "empty").write_bytes(b"")
    pack(tmp_path / "in", tmp_path / "one.tar")

    unpack(tmp_path / "one.tar", tmp_path / "out")

    found = {str(path.relative_to(tmp_path / "out")): path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == {"deep/a.txt": b"a", "empty": b""}


def hostile(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    "info",
    [
        hostile("../out.txt"),
        hostile("a/../../out.txt"),
        hostile("/tmp/out.txt"),
        hostile("link", tarfile.SYMTYPE),
        hostile("hard", tarfile.LNKTYPE),
        hostile("device", tarfile.CHRTYPE),
        hostile("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda info: info.name,
)
def test_anything_else_is_refused(tmp_path: Path, info: tarfile.TarInfo) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        tar.addfile(info, io.BytesIO(b""))

    with pytest.raises(BadTar, match="no file inside its folder"):
        unpack(tmp_path / "bad.tar", tmp_path / "out")

    assert list((tmp_path / "out").rglob("*")) == []
    assert not (tmp_path / "out.txt").exists()
