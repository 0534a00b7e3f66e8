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
    texts = [signatures.content_of(row.messages) for row in rows]
    signed = sign(texts)
    shared = signatures.neighbours(run.pipeline_id, signed, signatures.CONTENT)
    old = signatures.contents(existing(run), {pk for found in shared.values() for pk in found})
    earlier: dict[int, list[int]] = {}
    for one, two in sharing(signed).tolist():
        earlier.setdefault(two, []).append(one)
    cut_new, cut_old = (lru_cache(KEPT_SETS)(lambda n, of=of: shingles(of[n])) for of in (texts, old))
    for n in sorted(shared.keys() | earlier.keys()):
        mine = cut_new(n)
        known = [(jaccard(mine, cut_old(pk)), pk) for pk in sorted(shared.get(n, ())) if pk in old]
        fresh = [
            (jaccard(mine, cut_new(m)), rows[m].pk) for m in earlier.get(n, ()) if rows[m].state == ExampleState.READY
        ]
        _mark(new, rows[n], [*known, *fresh], threshold)
    return signatures.pack(rows, signed)


def _mark(new: NewRows, row: Example, alike: list[tuple[float, int]], threshold: float) -> None:
    share, twin = max(alike, key=lambda pair: pair[0], default=(0.0, None))
    if twin is not None and share >= threshold:
        words = {"share": f"{100 * share:.0f}", "id": twin}
        detail = _("%(share)s %% of its three-word phrases are those of example %(id)s.") % words
        new.mark(row, ExampleState.QUARANTINED, "near_duplicate", detail, twin)
