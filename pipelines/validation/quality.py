"""How good each new row is by itself, and whether it is like anything that is known."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from pipelines.domain.data_checks import Categories, OutputFormat, QualityScore, QualitySettings, score_quality
from pipelines.models import Example, ExampleState, Run
from pipelines.validation.batch import NewRows, existing, parsed, said_by_user
from tenants.pipeline_settings import PipelineSettings

# Enough to know the words of each category; fewer than KNOWN_ENOUGH rows tell nothing.
LOOKED_AT, KNOWN_ENOUGH = 5_000, 100


def quality_settings(settings: PipelineSettings) -> QualitySettings:
    output, parts = settings.criteria.output, settings.data.quality
    return QualitySettings(
        threshold=settings.data.min_quality,
        weights=parts.weights,
        words=(parts.min_words, parts.max_words),
        format=OutputFormat(output.kind),
        labels=frozenset(output.labels),
        json_fields=frozenset(output.fields),
        language=parts.wanted_language or None,
    )


def mark_quality(new: NewRows, settings: PipelineSettings) -> None:
    """Rows below the client's limit are left out."""
    judge = quality_settings(settings)
    for row in new.left:
        score = score_quality(parsed(row), judge)
        if not score.is_enough:
            new.mark(row, ExampleState.LEFT_OUT, "quality", said(score))


def said(score: QualityScore) -> str:
    parts = ", ".join(f"{name} {value:.2f}" for name, value in score.parts.items())
    return _("Quality %(score)s (%(parts)s).") % {"score": f"{score.score:.2f}", "parts": parts}


def mark_novel(run: Run, new: NewRows, below: float) -> None:
    """Rows unlike everything that trains already wait for a person's label."""
    known = categories(existing(run)) if below else None
    if known is None or known.size < KNOWN_ENOUGH:
        return
    for row in new.left:
        text = said_by_user(row.messages)
        if not known.knows(text, below):
            nearest, likeness = known.nearest(text)
            words = {"label": nearest or _("what is known"), "share": f"{likeness:.3f}", "limit": f"{below:g}"}
            detail = _("Unlike every category: nearest is %(label)s with %(share)s, at least %(limit)s is wanted.")
            new.mark(row, ExampleState.REVIEW, "novel", detail % words)


def categories(rows: QuerySet[Example]) -> Categories:
    """What the newest of the rows say, by label."""
    found = rows.order_by("-id").values_list("label", "messages")[:LOOKED_AT]
    return Categories((label, said_by_user(messages)) for label, messages in found)
