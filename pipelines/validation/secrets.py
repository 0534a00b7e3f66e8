"""Keys, cards and personal data in new rows: quarantined, or masked before anything else looks, as the client chose."""

from __future__ import annotations

from collections import Counter

from django.utils.translation import gettext as _

from pipelines.domain.data_checks import Finding, find_secrets, masked, words_of
from pipelines.models import Example, ExampleState
from pipelines.models.example import RELEASED
from pipelines.validation.batch import NewRows, parsed
from tenants.actions import input_digest
from tenants.pipeline_settings import DataChecks

MASKED = ["messages", "content_digest", "input_digest", "words", "detail"]


def mask_secrets(new: NewRows, data: DataChecks) -> None:
    """Masks rows, or marks those that are quarantined. What was found is named, never repeated."""
    if data.secrets == "off":
        return
    found = [(row, hits) for row in new.left if (hits := _findings(row, data.secret_kinds)) and row.rule != RELEASED]
    if data.secrets == "quarantine":
        for row, hits in found:
            row.pointer = f"/messages/{min(hits)}/content"
            new.mark(row, ExampleState.QUARANTINED, "secrets", _("It holds: %(kinds)s.") % {"kinds": _kinds(hits)})
        return
    for row, hits in found:
        _mask(row, hits)
        new.masked.append(row)


def _findings(row: Example, kinds: tuple[str, ...]) -> dict[int, list[Finding]]:
    """Number of the message -> what it holds."""
    found = {n: find_secrets(message["content"], kinds) for n, message in enumerate(row.messages)}
    return {n: hits for n, hits in found.items() if hits}


def _mask(row: Example, hits: dict[int, list[Finding]]) -> None:
    row.messages = [
        message | {"content": masked(message["content"], hits.get(n, ()))} for n, message in enumerate(row.messages)
    ]
    example = parsed(row)
    row.content_digest, row.input_digest = example.content_digest, input_digest(row.messages)
    row.words, row.detail = words_of(example.near_text), _("Masked: %(kinds)s.") % {"kinds": _kinds(hits)}


def _kinds(hits: dict[int, list[Finding]]) -> str:
    counts = Counter(finding.kind for some in hits.values() for finding in some)
    return ", ".join(f"{kind} ({n})" if n > 1 else kind for kind, n in sorted(counts.items()))
