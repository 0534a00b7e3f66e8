"""A mail that only shows that mails arrive."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import make_msgid

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.html import format_html
from django.utils.translation import gettext as _

from agency.mail.invitation import is_mailed
from pipelines.notifiers import Message, SendFailed, load

AT_MOST = 10


def send_trial(recipients: Sequence[str], asked_by: str) -> tuple[bool, str]:
    """Whether the mail server took it, and a sentence for who asked."""
    refusal = _refusal(recipients)
    if refusal:
        return False, refusal
    said = _("This is a test: mails of Retune arrive here. %(who)s asked for it.") % {"who": asked_by}
    html = format_html("<p>{}</p>", said)
    message = Message(_("Test mail from Retune"), html, said, make_msgid(domain="retune.invalid"))
    if failures := [said for address in recipients if (said := _failure(message, address))]:
        return False, " ".join(failures)
    if not is_mailed():
        words = {"folder": settings.EMAIL_FILE_PATH}
        return True, _("No mail server is configured: the mail lies as a file in %(folder)s.") % words
    return True, _("The mail server took it for %(who)s. Look into the mailbox.") % {"who": ", ".join(recipients)}


def _failure(message: Message, address: str) -> str:
    """By itself: a server may take a message for some of several, and say nothing of the others."""
    try:
        load("email").send(message, [address])
    except SendFailed as failed:
        return f"{address}: {failed}"
    return ""


def _refusal(recipients: Sequence[str]) -> str:
    if not recipients:
        return _("Enter an address first.")
    if len(recipients) > AT_MOST:
        return _("At most %(top)s addresses at once.") % {"top": AT_MOST}
    for address in recipients:
        try:
            validate_email(address)
        except ValidationError:
            return _("“%(address)s” is no e-mail address.") % {"address": address}
    return ""
