"""A letter to a client's people, as it was written, under the agency's brand."""

from __future__ import annotations

import re
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
    paragraphs = (one_line(part, len(body)) for part in re.split(r"\n\s*\n", body.replace("\r\n", "\n")))
    look = Look.of(notice.client, sharing.brand_of(notice.agency_id))
    subject = one_line(notice.detail["subject"], SUBJECT_CHARS)
    return Letter(subject, tuple(part for part in paragraphs if part), look)
