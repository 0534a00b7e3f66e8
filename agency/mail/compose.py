"""From a notice to a message: subject, HTML and text out of one report."""

from __future__ import annotations

import hashlib
from email.utils import parseaddr
from functools import cache

from css_inline import CSSInliner
from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone, translation

from agency.mail.report import report_of
from pipelines.models import Notice
from pipelines.notifiers import Message


def compose(notice: Notice) -> Message:
    """In the client's language and time zone. Everything that data or a model said is escaped and kept on one line."""
    with translation.override(notice.client.language), timezone.override(notice.client.zone):
        report = report_of(notice)
        context = {"report": report, "language": notice.client.language}
        return Message(
            subject=report.subject,
            html=_inliner().inline(render_to_string("mail/report.html", context)),
            text=render_to_string("mail/report.txt", context),
            message_id=_message_id("notice", notice.client_id, notice.pk, notice.key),
            thread_id=_message_id("pipeline", notice.client_id, notice.pipeline_id),
        )


def _message_id(*parts: object) -> str:
    """A msg-id (RFC 5322, 3.6.4) that the same parts always give."""
    left = hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:32]
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return f"<{left}@{domain}>"


@cache
def _inliner() -> CSSInliner:
    # Mail programs drop <style>; nothing is fetched while a mail is made.
    return CSSInliner(load_remote_stylesheets=False, keep_style_tags=False)
