"""E-mail through Django's mail backend: to files when embedded, by SMTP in production."""

from __future__ import annotations

import smtplib
from collections.abc import Sequence

from django.core.mail import EmailMultiAlternatives, get_connection

from pipelines.notifiers import Message, SendFailed

ONE_CLICK = "List-Unsubscribe=One-Click"  # RFC 8058, 3.1.


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
        mail.connection = get_connection()
        try:
            mail.send()
        except (smtplib.SMTPException, OSError) as error:
            raise SendFailed(f"The mail server did not take the message: {type(error).__name__}: {error}") from error
