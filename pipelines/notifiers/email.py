"""E-mail through Django's mail backend: to files when embedded, by SMTP in production."""

from __future__ import annotations

import re
import smtplib
from collections.abc import Sequence
from contextlib import suppress

from django.core.mail import EmailMultiAlternatives, get_connection

from pipelines.notifiers import Message, SendFailed

ONE_CLICK = "List-Unsubscribe=One-Click"  # RFC 8058, 3.1.
SHOWN = 300
# At RCPT TO, and for whomever: it closes, bad sequence (RFC 5321, 4.2.3), sign in first (RFC 4954, 6).
FOR_ALL = re.compile(r"(421|503|530|535|538)\b")
# Not allowed (RFC 3463, 3.8): to this mailbox, or to us as long as we are set up wrongly; then it would be everybody.
NOT_ALLOWED = re.compile(r"5\d\d[ -]5\.7\.")


class EmailNotifier:
    """One message to all recipients, text and HTML as alternatives (RFC 2046, 5.1.4: the richer part last)."""

    def send(self, message: Message, recipients: Sequence[str]) -> None:
        headers = {"Message-ID": message.message_id, "Auto-Submitted": "auto-generated"}
        if message.thread_id:
            headers |= {"In-Reply-To": message.thread_id, "References": message.thread_id}
        if message.leaving:
            headers |= {"List-Unsubscribe": f"<{message.leaving}>", "List-Unsubscribe-Post": ONE_CLICK}
        mail = EmailMultiAlternatives(message.subject, message.text, to=list(recipients), headers=headers)
        mail.attach_alternative(message.html, "text/html")
        _hand_over(mail)


def _hand_over(mail: EmailMultiAlternatives) -> None:
    """Raises SendFailed. A server that fails at the farewell has taken the message all the same."""
    connection = mail.connection = get_connection()
    try:
        connection.open()
    except (smtplib.SMTPException, OSError) as error:
        raise SendFailed(_not_taken(error), is_away=True) from error
    try:
        mail.send()
    except smtplib.SMTPRecipientsRefused as error:
        raise refusal([f"{code} {_text(said)}" for code, said in error.recipients.values()]) from error
    except (smtplib.SMTPException, OSError) as error:
        raise SendFailed(_not_taken(error), is_away=_is_away(error)) from error
    finally:
        with suppress(smtplib.SMTPException, OSError):
            connection.close()


def _is_away(error: OSError) -> bool:
    """Whether the next recipient would fare no better. What smtplib raises is an OSError too."""
    for_all = smtplib.SMTPSenderRefused, smtplib.SMTPServerDisconnected
    return isinstance(error, for_all) or not isinstance(error, smtplib.SMTPException)


def refusal(answers: Sequence[str]) -> SendFailed:
    """`answers` at RCPT TO begin with their codes (RFC 5321, 4.2): 5xx stays as it is, all others may pass."""
    sentence = f"The mail server refused the recipient: {'; '.join(answers)}"
    if any(FOR_ALL.match(answer) for answer in answers):
        return SendFailed(sentence, is_away=True)
    return SendFailed(sentence, is_permanent=all(_is_permanent(answer) for answer in answers))


def _is_permanent(answer: str) -> bool:
    return answer.startswith("5") and not NOT_ALLOWED.match(answer)


def _text(said: bytes) -> str:
    text = said.decode(errors="replace")[:SHOWN]
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _not_taken(error: Exception) -> str:
    return f"The mail server did not take the message: {type(error).__name__}: {error}"
