"""Secrets at rest: opened by this installation, for the place that they were sealed for, and by nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from tenants.crypto.sealing import Unreadable, seal, unseal

SECRET = {"value": "s3cret"}


def test_what_was_sealed_is_read_again() -> None:
    token = seal("host:1:shop", SECRET)

    assert "s3cret" not in token
    assert unseal("host:1:shop", token) == SECRET


def test_the_same_secret_is_never_the_same_text() -> None:
    assert seal("host:1:shop", SECRET) != seal("host:1:shop", SECRET)


def test_a_token_that_was_copied_to_another_row_stays_shut() -> None:
    with pytest.raises(Unreadable, match="another place"):
        unseal("host:2:shop", seal("host:1:shop", SECRET))


@pytest.mark.parametrize("change", [lambda t: t[:-4] + "AAAA", lambda t: "", lambda t: "no token"])
def test_a_token_that_was_changed_is_refused(change: Any) -> None:
    with pytest.raises(Unreadable, match="enter it again"):
        unseal("host:1:shop", change(seal("host:1:shop", SECRET)))


def test_a_new_secret_key_reads_what_the_old_one_sealed_while_it_is_named(settings: Any) -> None:
    token, old = seal("host:1:shop", SECRET), settings.SECRET_KEY
    settings.SECRET_KEY = "another key of the installation, long enough"
    with pytest.raises(Unreadable):
        unseal("host:1:shop", token)

    settings.SECRET_KEY_FALLBACKS = [old]

    assert unseal("host:1:shop", token) == SECRET
