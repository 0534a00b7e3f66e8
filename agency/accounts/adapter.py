"""The rules of this installation for django-allauth."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest

from agency.mail.words import one_line


class AccountAdapter(DefaultAccountAdapter):
    """Sign-up is closed: the first visit founds the agency, everybody else is invited."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def format_email_subject(self, subject: str) -> str:
        return one_line(subject, 150)

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """None: the next page shows that it worked."""

    def render_mail(self, template_prefix: str, email: str | list[str], context: Any, headers: Any = None) -> Any:
        mail = super().render_mail(template_prefix, email, context, headers)
        mail.extra_headers["Auto-Submitted"] = "auto-generated"
        return mail
