"""Whether new rows look like those that train already: their labels, their lengths, their languages."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from django.db.models import Count

from pipelines.domain.data_checks import DistributionLimits, compare_labels, compare_shares, length_bin
from pipelines.models import PipelineState, Run
from pipelines.validation.batch import NewRows, existing
from tenants.pipeline_settings import DataChecks


def distribution(run: Run, new: NewRows, data: DataChecks) -> dict[str, Any]:
    """{new, existing, variation, p: of the labels; lengths, languages: the same of them; breaches: sentences}."""
    labels = Counter(row.label for row in new.left if row.label)
    known = _known(run, "label")
    is_first = not PipelineState.objects.filter(pipeline_id=run.pipeline_id, production__isnull=False).exists()
    limits = DistributionLimits(variation=data.max_label_shift, one_label=data.max_label_share)
    found = compare_labels(labels, known, limits, is_first_version=is_first)
    lengths = Counter(length_bin(row.words) for row in new.left if row.words)
    languages = Counter(row.language for row in new.left if row.language)
    others = {
        "lengths": _shift("length", lengths, _lengths(run), data.max_length_shift),
        "languages": _shift("language", languages, _known(run, "language"), data.max_language_shift),
    }
    breaches = [*found.breaches, *(shift["breach"] for shift in others.values() if shift["breach"])]
    shown = {"new": dict(labels), "existing": dict(known), "breaches": breaches}
    return shown | {"variation": found.variation, "p": found.p} | others


def _shift(what: str, new: Counter[str], known: Counter[str], limit: float) -> dict[str, Any]:
    found = compare_shares(what, new, known, DistributionLimits(variation=limit))
    return {"new": dict(new), "existing": dict(known)} | asdict(found)


def _known(run: Run, column: str) -> Counter[str]:
    rows = existing(run).exclude(**{column: ""}).order_by().values_list(column)
    return Counter(dict(rows.annotate(n=Count("id"))))


def _lengths(run: Run) -> Counter[str]:
    found: Counter[str] = Counter()
    rows = existing(run).exclude(words=0).order_by().values_list("words")
    for words, n in rows.annotate(n=Count("id")):
        found[length_bin(words)] += n
    return found
