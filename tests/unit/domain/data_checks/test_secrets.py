"""Keys, cards and personal data: found with their check digits, masked in place, in linear time."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.data_checks.secrets import KINDS, find_secrets, masked
from tenants.pipeline_settings import SECRET_KINDS


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("my card is 4111 1111 1111 1111, please", "card"),
        ("write to ana.b+shop@mail.example.org today", "email"),
        ("IBAN ES91 2100 0418 4502 0005 1332", "iban"),
        ("DNI 12345678Z", "id_number"),
        ("NIE X-1234567L", "id_number"),
        ("call +34 600 123 456", "phone"),
        ("AKIAIOSFODNN7EXAMPLE", "key"),
        ("-----BEGIN RSA PRIVATE KEY-----", "key"),
        ("password: hunter22", "key"),
    ],
)
def test_each_kind_is_found_and_only_it_is_masked(text: str, kind: str) -> None:
    found = find_secrets(f"before {text} after")

    assert [finding.kind for finding in found] == [kind]
    shown = masked(f"before {text} after", found)
    assert shown.startswith("before ") and shown.endswith(" after") and f"[{kind}]" in shown
    assert find_secrets(shown) == []


@pytest.mark.parametrize(
    "text",
    [
        "order 4111 1111 1111 1112",  # the check digit is wrong
        "0000 0000 0000 0000",
        "DNI 12345678A",
        "ES92 2100 0418 4502 0005 1332",
        "the 12 of May 2026 at 10:30, room 4",
        "me@home",
    ],
)
def test_what_only_looks_alike_is_left_alone(text: str) -> None:
    assert find_secrets(text) == []


def test_only_the_chosen_kinds_are_looked_for() -> None:
    assert find_secrets("ana@mail.example.org 4111 1111 1111 1111", ("card",))[0].kind == "card"


@pytest.mark.parametrize("piece", ["1 ", "a@", "a.", "-----BEGIN ", "+34 ", "eyJaaaaaaaaaa.", "ES91 "])
def test_time_is_linear_in_the_text(piece: str) -> None:
    began = time.monotonic()
    find_secrets(piece * 50_000)
    assert time.monotonic() - began < 10


@given(st.text(alphabet="aA1 @.-+:ES", max_size=80))
def test_masking_keeps_everything_else(text: str) -> None:
    found = find_secrets(text)
    assert all(one.end <= two.start for one, two in pairwise(found))
    kept = text
    for finding in reversed(found):
        kept = kept[: finding.start] + f"[{finding.kind}]" + kept[finding.end :]
    assert masked(text, found) == kept


def test_the_settings_offer_the_kinds_that_exist() -> None:
    assert SECRET_KINDS == KINDS
