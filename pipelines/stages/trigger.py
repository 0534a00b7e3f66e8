"""Stage 1, trigger. Takes: the occasion. Gives: the settings revision and why the run exists.

Idempotent: it only reads.
"""

from __future__ import annotations

from datetime import datetime

from pipelines.engine.outcome import Done, Given, Outcome
from pipelines.models import Run


def run(run: Run, given: Given, now: datetime) -> Outcome:
    return Done({"revision": run.revision.number, "occasion": run.occasion})
