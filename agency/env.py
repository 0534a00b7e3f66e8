"""Reading the environment: refuses what it cannot understand, takes secrets from files (`X_FILE`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}


def text(name: str, default: str = "") -> str:
    """The value of NAME, or the content of the file that NAME_FILE names."""
    path = os.environ.get(f"{name}_FILE")
    if path is None:
        return os.environ.get(name, default)
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE: cannot read {path}: {error.strerror}") from error


def boolean(name: str, default: bool = False) -> bool:
    value = os.environ.get(name)
    if value is None:
        return default
    if value.lower() in TRUE:
        return True
    if value.lower() in FALSE:
        return False
    raise ImproperlyConfigured(f"{name}={value!r} is neither true nor false: use 1 or 0.")


def choice(name: str, allowed: Sequence[str]) -> str:
    """One of `allowed`, by default the first."""
    value = text(name, allowed[0])
    if value not in allowed:
        raise ImproperlyConfigured(f"{name}={value!r}: use one of {', '.join(allowed)}.")
    return value


def number(name: str, default: float) -> float:
    value = text(name, str(default))
    try:
        return float(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={value!r} is not a number.") from None


def integer(name: str, default: int) -> int:
    return int(number(name, default))


def items(name: str, default: str = "") -> list[str]:
    return [item.strip() for item in text(name, default).split(",") if item.strip()]


def pairs(name: str) -> dict[str, str]:
    """`a=x,b=y` as a dict. A refusal tells the place and not the text: some of these are keys."""
    found = [item.partition("=") for item in items(name)]
    for place, (key, sign, _value) in enumerate(found, 1):
        if not (key and sign):
            raise ImproperlyConfigured(f"{name}: entry {place} of {len(found)} is not of the form name=value.")
    return {key: value for key, _sign, value in found}
