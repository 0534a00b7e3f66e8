"""Keys, cards and personal data in a text: linear-time patterns (RE2), with check digits where there are any."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import re2

_NIF_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"


@dataclass(frozen=True)
class Finding:
    """`text[start:end]` looks like a `kind`."""

    kind: str
    start: int
    end: int


def _luhn(found: str) -> bool:
    """ISO/IEC 7812-1, annex B: the check digit of payment cards."""
    digits = [int(c) for c in found if c.isdigit()]
    doubled = [d if n % 2 == 0 else 2 * d - 9 * (d > 4) for n, d in enumerate(reversed(digits))]
    return 13 <= len(digits) <= 19 and sum(doubled) % 10 == 0 and len(set(digits)) > 1


def _iban(found: str) -> bool:
    """ISO 13616: moved letters as numbers, modulo 97."""
    text = "".join(found.split()).upper()
    return 15 <= len(text) <= 34 and int("".join(str(int(c, 36)) for c in text[4:] + text[:4])) % 97 == 1


def _nif(found: str) -> bool:
    """The letter of a Spanish DNI or NIE is its number modulo 23."""
    text = found.upper().replace("-", "").replace(" ", "")
    number = str("XYZ".find(text[0])) + text[1:-1] if text[0] in "XYZ" else text[:-1]
    return _NIF_LETTERS[int(number) % 23] == text[-1]


def _always(_: str) -> bool:
    return True


PATTERNS: Mapping[str, tuple[tuple[str, Callable[[str], bool]], ...]] = {
    "key": (
        (r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----", _always),
        (r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", _always),
        (r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b", _always),
        (r"\bgithub_pat_[A-Za-z0-9_]{60,255}\b", _always),
        (r"\bglpat-[A-Za-z0-9_-]{20,64}\b", _always),
        (r"\bxox[abeoprs]-[A-Za-z0-9-]{10,250}\b", _always),
        (r"\bAIza[0-9A-Za-z_-]{35}\b", _always),
        (r"\bsk-[A-Za-z0-9_-]{20,200}\b", _always),
        (r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,200}\b", _always),
        (r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}", _always),
        (r"(?i)\b(?:password|passwd|pwd|secret|api[_-]?key|contraseña)\s*[:=]\s*[^\s,;]{6,200}", _always),
    ),
    "card": ((r"\b[0-9](?:[ -]?[0-9]){12,18}\b", _luhn),),
    "iban": ((r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", _iban),),
    "id_number": ((r"(?i)\b(?:[0-9]{8}|[XYZ]-?[0-9]{7})[- ]?[A-Z]\b", _nif),),
    "email": ((r"\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}\.){1,8}[A-Za-z]{2,24}\b", _always),),
    "phone": ((r"(?:\+|\b00)[1-9][0-9]{0,2}[ .-]?(?:\(?[0-9]{2,4}\)?[ .-]?){2,4}[0-9]{2,4}\b", _always),),
}
KINDS = tuple(PATTERNS)


def find_secrets(text: str, kinds: Iterable[str] = KINDS) -> list[Finding]:
    """What looks like a secret, from left to right, none over another. RE2: time is linear in the text."""
    found = sorted(_matches(text, kinds), key=lambda f: (f.start, -f.end))
    kept: list[Finding] = []
    for finding in found:
        if not kept or finding.start >= kept[-1].end:
            kept.append(finding)
    return kept


def masked(text: str, findings: Iterable[Finding]) -> str:
    """The text with [kind] in the place of each finding."""
    found = list(findings)
    cuts = [0, *(place for f in found for place in (f.start, f.end)), len(text)]
    pieces = [text[a:b] for a, b in list(pairwise(cuts))[::2]]
    return "".join(piece + (f"[{found[n].kind}]" if n < len(found) else "") for n, piece in enumerate(pieces))


def _matches(text: str, kinds: Iterable[str]) -> Iterator[Finding]:
    for kind in kinds:
        for pattern, is_real in _compiled(kind):
            for match in pattern.finditer(text):
                if is_real(match.group()):
                    yield Finding(kind, match.start(), match.end())


@cache
def _compiled(kind: str) -> tuple[tuple[Any, Callable[[str], bool]], ...]:
    options = re2.Options()
    options.log_errors = False
    return tuple((re2.compile(pattern, options=options), is_real) for pattern, is_real in PATTERNS[kind])
