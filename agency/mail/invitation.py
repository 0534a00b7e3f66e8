"""The mail with an invitation, and the sentence when it could not be sent."""

from __future__ import annotations

import logging

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _

from agency.mail.compose import inliner
from agency.mail.words import one_line
from agency.reports.pages import Look
from tenants import sharing
from tenants.models import Invitation

log = logging.getLogger("agency.mail")


def send_invitation(invitation: Invitation, address: str) -> bool:
    """In the language of the client where there is one. False, and a line in the log, when no server took it."""
    with translation.override(invitation.client.language if invitation.client else "en"):
        brand = sharing.brand_of(invitation.agency_id)
        name = brand.name or invitation.agency.name
        look = Look(name, "", brand.colour, brand.footer, brand.contact)
        subject = one_line(_("%(name)s invites you") % {"name": name}, 150)
        given = {"look": look, "invitation": invitation, "address": address, "subject": subject}
        text, html = (render_to_string(f"mail/invitation.{kind}", given) for kind in ("txt", "html"))
    mail = EmailMultiAlternatives(subject, text, to=[invitation.email], headers={"Auto-Submitted": "auto-generated"})
    mail.attach_alternative(inliner().inline(html), "text/html")
    try:
        mail.send()
    except OSError:  # What smtplib raises is one too.
        log.exception("The invitation for %s could not be mailed.", invitation.email)
        return False
    return True


def is_mailed() -> bool:
    """Whether a mail server is there at all; without one mails become files that nobody gets."""
    return bool(settings.EMAIL_HOST)
