"""From a notice to a message: subject, HTML and text out of one report."""

from __future__ import annotations

import hashlib
from email.utils import parseaddr
from functools import cache
from typing import Any

from css_inline import CSSInliner
from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation

from agency.mail.letter import Letter, letter_of
from agency.mail.report import Report, report_of
from pipelines.domain.telling.incidents import incident_of
from pipelines.models import Notice
from pipelines.notifiers import Message
from tenants.telling.choices import ALWAYS, Leaving, ticket


def compose(notice: Notice, address: str = "") -> Message:
    """For one address, in the client's time zone; for staff in English, for clients in their language.

    Everything that data or a model said is escaped and kept on one line.
    """
    is_letter = notice.kind == "letter"
    language = notice.client.language if is_letter else "en"
    with translation.override(language), timezone.override(notice.client.zone):
        said: Letter | Report = letter_of(notice) if is_letter else report_of(notice)
        page = "letter" if is_letter else "report"
        leaving = "" if is_letter else leaving_url(notice, address)
        mails_url = f"{settings.BASE_URL.rstrip('/')}{reverse('mails')}"
        context: dict[str, Any] = {page: said, "leaving": leaving, "mails_url": mails_url}
        return Message(
            subject=said.subject,
            html=inliner().inline(render_to_string(f"mail/{page}.html", context | {"language": language})),
            text=render_to_string(f"mail/{page}.txt", context),
            message_id=message_id("notice", notice.client_id, notice.pk, notice.key, address),
            thread_id=message_id(*_thread(notice), address),
            leaving=leaving,
        )


def _thread(notice: Notice) -> tuple[object, ...]:
    """What stands together in a mailbox: all of a run; else all of one trouble of a pipeline."""
    if notice.kind == "letter":
        return "letters", notice.client_id, notice.pipeline_id
    run = notice.run_id or notice.detail.get("run")
    if run is not None:
        return "run", notice.client_id, run
    return "trouble", notice.client_id, notice.pipeline_id, incident_of(notice.kind, notice.detail).name


def leaving_url(notice: Notice, address: str) -> str:
    """Where this address can end these mails without an account; none for what owners always get."""
    if not address or notice.kind in ALWAYS:
        return ""
    told = ticket(Leaving(notice.agency_id, notice.client_id, address))
    return f"{settings.BASE_URL.rstrip('/')}{reverse('leave-mails', args=[told])}"


def message_id(*parts: object) -> str:
    """A msg-id (RFC 5322, 3.6.4) that the same parts always give."""
    left = hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:32]
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return f"<{left}@{domain}>"


@cache
def inliner() -> CSSInliner:
    # Mail programs drop <style>; nothing is fetched while a mail is made.
    return CSSInliner(load_remote_stylesheets=False, keep_style_tags=False)
