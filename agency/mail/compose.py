"""From a notice to a message: subject, HTML and text out of one report."""

from __future__ import annotations

import hashlib
from email.utils import parseaddr
from functools import cache

from css_inline import CSSInliner
from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone, translation

from agency.mail.letter import Letter, letter_of
from agency.mail.report import Report, report_of
from pipelines.models import Notice
from pipelines.notifiers import Message


def compose(notice: Notice) -> Message:
    """In the client's time zone; for staff in English, for clients in their language.

    Everything that data or a model said is escaped and kept on one line.
    """
    is_letter = notice.kind == "letter"
    language = notice.client.language if is_letter else "en"
    with translation.override(language), timezone.override(notice.client.zone):
        said: Letter | Report = letter_of(notice) if is_letter else report_of(notice)
        page, context = ("letter", {"letter": said}) if is_letter else ("report", {"report": said})
        return Message(
            subject=said.subject,
            html=inliner().inline(render_to_string(f"mail/{page}.html", context | {"language": language})),
            text=render_to_string(f"mail/{page}.txt", context),
            message_id=_message_id("notice", notice.client_id, notice.pk, notice.key),
            thread_id=_message_id("letters" if is_letter else "pipeline", notice.client_id, notice.pipeline_id),
        )


def _message_id(*parts: object) -> str:
    """A msg-id (RFC 5322, 3.6.4) that the same parts always give."""
    left = hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:32]
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return f"<{left}@{domain}>"


@cache
def inliner() -> CSSInliner:
    # Mail programs drop <style>; nothing is fetched while a mail is made.
    return CSSInliner(load_remote_stylesheets=False, keep_style_tags=False)
