"""The address of a server that we call, as people type it."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from agency.portal.forms.fields import AddressField


@pytest.mark.parametrize(
    "typed",
    [
        "http://ollama:11434",
        "http://gpu_box:11434/ollama",
        "http://localhost:11434",
        "http://10.0.0.5:11434",
        "http://[::1]:11434",
        "https://models.client.example",
    ],
)
def test_a_host_may_be_one_word(typed: str) -> None:
    assert AddressField(assume_scheme="http").clean(typed) == typed


@pytest.mark.parametrize(
    "typed",
    [
        "http://ollama:99999",
        "http://",
        "http://-ollama",
        "http://167772165",
        "http://[::1",
        "http://a b",
    ],
)
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(ValidationError, match="Enter a valid URL"):
        AddressField(assume_scheme="http").clean(typed)
