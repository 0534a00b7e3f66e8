"""What is taken out of texts before they are kept. The installation adds its own by RETUNE_REDACTIONS."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any, Protocol, cast

import re2
from django.conf import settings

from pipelines.domain.data_checks.secrets import find_secrets, masked

REDACTIONS: dict[str, str] = {
    "personal": "agency.gateway.meter.redaction:personal",
    "none": "agency.gateway.meter.redaction:nothing",
}

# What the data check's patterns leave: telephone and account numbers without a check digit, however they are grouped.
NUMBER = re2.compile(r"\+?[0-9](?:[ ./()-]{0,2}[0-9]){8,}")
# Words of the protocol, not of the caller.
PROTOCOL = frozenset({"role", "type"})


class Redactor(Protocol):
    """Takes a text and gives it back without what must not be kept."""

    def __call__(self, text: str) -> str: ...


def personal(text: str) -> str:
    """What the data check takes for keys, cards and personal data becomes its kind in brackets; names stay."""
    return NUMBER.sub("[number]", masked(text, find_secrets(text)))


def nothing(text: str) -> str:
    return text


@lru_cache(maxsize=64)
def redactor(name: str) -> Redactor:
    """By its name. KeyError for an unknown one; whatever the import raises."""
    module, _, attribute = ({**REDACTIONS, **settings.OWN_REDACTIONS})[name].partition(":")
    return cast(Redactor, getattr(import_module(module), attribute))


def redacted(value: Any, redact: Redactor) -> Any:
    """The same document with every text redacted, but for the protocol's own words."""
    match value:
        case str():
            return redact(value)
        case list():
            return [redacted(item, redact) for item in value]
        case dict():
            return {key: item if key in PROTOCOL else redacted(item, redact) for key, item in value.items()}
    return value
