"""Near duplicates: candidates by stored MinHash bands, each verified by exact Jaccard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.utils.translation import gettext as _

from pipelines.domain.data_checks import jaccard, shingles
from pipelines.domain.neardup import BANDS, SIGNATURE_VERSION, bands_of, candidates
from pipelines.models import Example, ExampleBand, ExampleState, Run
from pipelines.validation.batch import NewRows, parsed, said_by_user
from tenants.models import EvalCase

CHUNK = 400


def mark_near_duplicates(run: Run, new: NewRows, threshold: float) -> None:
    """A near duplicate of a row that trains already, or of an earlier new one, is quarantined beside its twin."""
    bands = {row.pk: bands_of(parsed(row).near_text) for row in new.left}
    rows = {row.pk: row for row in new.left}
    old, shared = _stored_neighbours(run, bands)
    partners = _partners(bands)
    texts = {pk: shingles(parsed(row).near_text) for pk, row in (rows | old).items()}
    for row in list(rows.values()):
        earlier = [pk for pk in partners.get(row.pk, ()) if rows[pk].state == ExampleState.READY]
        twins = [*shared.get(row.pk, ()), *earlier]
        _mark(new, row, [(twin, jaccard(texts[row.pk], texts[twin])) for twin in twins], threshold)
    _store_bands(run, new.left, bands)


def _mark(new: NewRows, row: Example, twins: list[tuple[int, float]], threshold: float) -> None:
    twin, alike = max(twins, key=lambda pair: pair[1], default=(0, 0.0))
    if alike >= threshold:
        words = {"share": f"{alike:.2f}", "id": twin}
        detail = _("%(share)s of its three-word phrases are those of example %(id)s.") % words
        new.mark(row, ExampleState.QUARANTINED, "near_duplicate", detail, twin)


def _partners(bands: dict[int, tuple[int, ...]]) -> dict[int, list[int]]:
    """New row -> earlier new rows that share a band with it."""
    found: dict[int, list[int]] = {}
    for pair in candidates({str(pk): numbers for pk, numbers in bands.items()}):
        earlier, later = sorted(map(int, pair))
        found.setdefault(later, []).append(earlier)
    return found


def _stored_neighbours(run: Run, bands: dict[int, tuple[int, ...]]) -> tuple[dict[int, Example], dict[int, set[int]]]:
    """Rows that train already and share a band with a new one, and who shares with whom."""
    shared: dict[int, set[int]] = {}
    for band in range(BANDS):
        owners: dict[int, list[int]] = {}
        for pk, numbers in bands.items():
            if numbers:
                owners.setdefault(numbers[band], []).append(pk)
        for number, example in _stored(run, band, list(owners)):
            for pk in owners[number]:
                shared.setdefault(pk, set()).add(example)
    wanted = sorted({example for found in shared.values() for example in found})
    return _load(wanted), shared


def _stored(run: Run, band: int, numbers: list[int]) -> Iterator[tuple[int, int]]:
    rows = ExampleBand.objects.filter(pipeline_id=run.pipeline_id, band=band, signature_version=SIGNATURE_VERSION)
    rows = rows.filter(example__state=ExampleState.READY, example__dataset__isnull=False)
    for start in range(0, len(numbers), CHUNK):
        yield from rows.filter(hash__in=numbers[start : start + CHUNK]).values_list("hash", "example_id")


def _load(ids: list[int]) -> dict[int, Example]:
    found: dict[int, Example] = {}
    for start in range(0, len(ids), CHUNK):
        found |= Example.objects.in_bulk(ids[start : start + CHUNK])
    return found


def _store_bands(run: Run, rows: Sequence[Example], bands: dict[int, tuple[int, ...]]) -> None:
    """Kept for the runs to come, so that none of them rebuilds what is known."""
    made = [
        ExampleBand.of(
            row, pipeline_id=run.pipeline_id, example=row, band=n, hash=h, signature_version=SIGNATURE_VERSION
        )
        for row in rows
        for n, h in enumerate(bands[row.pk])
    ]
    ExampleBand.objects.filter(example__in=[row.pk for row in rows]).delete()
    ExampleBand.objects.bulk_create(made, batch_size=CHUNK)


def mark_leakage(run: Run, new: NewRows, threshold: float) -> None:
    """What an evaluation set asks, or nearly asks, can never train: quarantined, always."""
    cases = list(EvalCase.objects.filter(eval_set__pipeline_id=run.pipeline_id))
    digests = {case.input_digest: case for case in cases}
    buckets: dict[tuple[int, int], list[EvalCase]] = {}
    for case in cases:
        for key in enumerate(bands_of(said_by_user(case.messages))):
            buckets.setdefault(key, []).append(case)
    for row in new.left:
        case = digests.get(row.input_digest) or _near_case(row, buckets, threshold)
        if case is not None:
            words = {"set": case.eval_set_id, "case": case.key}
            detail = _("Case %(case)s of evaluation set %(set)s asks the same.") % words
            new.mark(row, ExampleState.QUARANTINED, "leakage", detail)


def _near_case(row: Example, buckets: dict[tuple[int, int], list[EvalCase]], threshold: float) -> EvalCase | None:
    text = said_by_user(row.messages)
    near = {case.pk: case for key in enumerate(bands_of(text)) for case in buckets.get(key, ())}
    mine = shingles(text)
    return next((c for c in near.values() if jaccard(mine, shingles(said_by_user(c.messages))) >= threshold), None)
