"""Which words the programs of other machines speak with headquarters, and what one that is too old is told."""

from __future__ import annotations

HEADER = "X-Retune-Protocol"
# Raised when a program of before could not be understood any more; OLDEST is the last one that still can.
PROTOCOL = 1
OLDEST = 1


def too_old(said: str, program: str) -> str:
    """`said`: the header. Empty where it can be spoken with; what names none is of before there was a second one."""
    number = int(said) if said.isascii() and said.isdigit() and len(said) < 6 else 1
    if number >= OLDEST:
        return ""
    return (
        f"This {program} speaks protocol {number}, and headquarters needs {OLDEST} or later. On its machine run: "
        f"RETUNE_URL=... RETUNE_TOKEN_FILE=... python3 {program}.pyz update"
    )
