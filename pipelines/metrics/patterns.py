"""Regular expressions by RE2: matching takes time linear in the text, whatever the pattern."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import re2

from pipelines.metrics import CaseError
from pipelines.metrics.case_mean import CaseMean

LONGEST_PATTERN = 2000


@lru_cache(maxsize=512)
def compiled(pattern: str) -> Any:
    """The pattern, `^` and `$` matching at lines; a CaseError says what RE2 cannot do."""
    if len(pattern) > LONGEST_PATTERN:
        raise CaseError(f"A pattern of {len(pattern)} characters is too long: at most {LONGEST_PATTERN}.")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(f"(?m){pattern}", options)
    except re2.error as problem:
        why = problem.args[0].decode("utf-8", "replace") if problem.args else "unknown"
        raise CaseError(
            f"The pattern {pattern[:80]!r} is refused ({why}). Patterns are RE2's: no look-ahead, no look-behind, "
            "no back-references, because those can run for ever."
        ) from problem


def _regex(expected: Mapping[str, Any], answer: str) -> float:
    """`pattern` is searched for; `match: false` asks that it does not occur."""
    found = compiled(str(expected["pattern"])).search(answer) is not None
    return float(found is bool(expected.get("match", True)))


regex = CaseMean(_regex)
