"""The mail about a change to how somebody signs in: if it was not they who did it, they learn of it now.

django-allauth has such mails too (ACCOUNT_EMAIL_NOTIFICATIONS); a mail server that is away would stop the act with
them, and ended sessions are not among them. The outbox is for what happens to pipelines and may wait; this may not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from django.core.mail import EmailMultiAlternatives, get_connection
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from agency.mail.compose import inliner
from agency.mail.words import one_line
from agency.reports.pages import Look
from tenants import sharing
from tenants.models import Brand, User
from tenants.people.accounts import memberships_of

log = logging.getLogger("agency.mail")
# Whoever changes a password waits for it; the installation's own time is for mails that nobody waits for.
TIMEOUT_S = 5
# {verb of the ledger, or verb and kind of factor: the subject, which is the first sentence too}. The codes that come
# and go with an app by themselves are not told apart from it.
SAID: dict[str, Promise] = {
    "account.password": _("Your password was changed"),
    "account.email": _("The address that you sign in with was changed"),
    "account.factor-add totp": _("An authenticator app was added to your account"),
    "account.factor-add webauthn": _("A passkey was added to your account"),
    "account.factor-remove totp": _("The authenticator app was removed from your account"),
    "account.factor-remove webauthn": _("A passkey was removed from your account"),
    "account.factor-renew recovery_codes": _("Your recovery codes were made anew"),
    "account.sessions-end": _("Sessions of your account were ended"),
}


def tell(user: User, verb: str, kind: str, now: datetime, also: str = "") -> None:
    """Once it is true, in the language of the page on which it was done. `also`: the address that was theirs before."""
    subject = SAID.get(f"{verb} {kind}".strip())
    if subject is None:
        return
    to = [address for address in dict.fromkeys((user.email, also)) if address]
    send = partial(_send, to, str(subject), look_of(user), now)
    transaction.on_commit(_in_language(translation.get_language() or "en", send), robust=True)


def _in_language(language: str, send: Callable[[], None]) -> Callable[[], None]:
    def sent() -> None:
        with translation.override(language):
            send()

    return sent


def look_of(user: User) -> Look:
    """Of the agency that they belong to; where there are several, or none, the product's own."""
    brands: dict[int, Any] = {}
    for membership in memberships_of(user):
        brands[membership.agency_id] = (membership.agency, sharing.brand_of(membership.agency_id))
    if len(brands) != 1:
        return Look("Retune", "", Brand().colour, "", "")
    [(agency, brand)] = brands.values()
    return Look(brand.name or agency.name, "", brand.colour, brand.footer, brand.contact)


def _send(to: list[str], subject: str, look: Look, now: datetime) -> None:
    given = {"look": look, "subject": subject, "at": f"{now:%Y-%m-%d %H:%M} UTC"}
    text, html = (render_to_string(f"mail/account.{kind}", given) for kind in ("txt", "html"))
    headers = {"Auto-Submitted": "auto-generated"}
    for address in to:  # Each alone: neither address is told the other.
        mail = EmailMultiAlternatives(one_line(subject, 150), text, to=[address], headers=headers)
        mail.attach_alternative(inliner().inline(html), "text/html")
        mail.connection = get_connection(timeout=TIMEOUT_S)
        try:
            mail.send()
        except OSError:  # What smtplib raises is one too.
            log.exception("%r for %s could not be mailed.", subject, address)
