"""A letter to a client's people, as it was written, under the agency's brand."""

from __future__ import annotations

from dataclasses import dataclass

from agency.mail.words import one_line
from agency.reports.pages import Look
from pipelines.models import Notice
from tenants import sharing

SUBJECT_CHARS = 150


@dataclass(frozen=True)
class Letter:
    """One object for subject, HTML and text."""

    subject: str
    paragraphs: tuple[str, ...]
    look: Look


def letter_of(notice: Notice) -> Letter:
    body = str(notice.detail["body"])
    paragraphs = (" ".join(part.split()) for part in body.replace("\r\n", "\n").split("\n\n"))
    look = Look.of(notice.client, sharing.brand_of(notice.agency_id))
    subject = one_line(notice.detail["subject"], SUBJECT_CHARS)
    return Letter(subject, tuple(one_line(part, 4000) for part in paragraphs if part), look)
