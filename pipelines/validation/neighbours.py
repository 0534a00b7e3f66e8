"""Near duplicates: candidates by MinHash bands, stored ones and those of the batch, each verified by exact Jaccard."""

from __future__ import annotations

from functools import lru_cache

from django.utils.translation import gettext as _

from pipelines.domain.data_checks import jaccard, shingles
from pipelines.domain.neardup import sharing, sign
from pipelines.models import Example, ExampleState, Run, SignatureBlock
from pipelines.validation import signatures
from pipelines.validation.batch import NewRows, existing

KEPT_SETS = 256


def mark_near_duplicates(run: Run, new: NewRows, threshold: float) -> list[SignatureBlock]:
    """A near duplicate of a row that trains already, or of an earlier new one, is quarantined beside its twin.

    Gives the signatures of the rows, for the caller to store.
    """
    signatures.top_up(existing(run))
    rows = new.left
    signed = sign([signatures.content_of(row) for row in rows])
    shared = signatures.neighbours(run.pipeline_id, signed, signatures.CONTENT)
    old = signatures.load(existing(run), {pk for found in shared.values() for pk in found})
    earlier: dict[int, list[int]] = {}
    for one, two in sharing(signed).tolist():
        earlier.setdefault(two, []).append(one)
    cut = lru_cache(maxsize=KEPT_SETS)(lambda row: shingles(signatures.content_of(row)))
    for n in sorted(shared.keys() | earlier.keys()):
        known = [old[pk] for pk in sorted(shared.get(n, ())) if pk in old]
        fresh = [rows[m] for m in earlier.get(n, ()) if rows[m].state == ExampleState.READY]
        alike = [(jaccard(cut(rows[n]), cut(twin)), twin) for twin in (*known, *fresh)]
        _mark(new, rows[n], alike, threshold)
    return signatures.pack(rows, signed)


def _mark(new: NewRows, row: Example, alike: list[tuple[float, Example]], threshold: float) -> None:
    share, twin = max(alike, key=lambda pair: pair[0], default=(0.0, None))
    if twin is not None and share >= threshold:
        words = {"share": f"{100 * share:.0f}", "id": twin.pk}
        detail = _("%(share)s %% of its three-word phrases are those of example %(id)s.") % words
        new.mark(row, ExampleState.QUARANTINED, "near_duplicate", detail, twin.pk)
