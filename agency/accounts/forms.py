"""allauth's forms in the looks of every other form."""

from __future__ import annotations

from typing import Any

from allauth.account import forms as account
from allauth.mfa.base import forms as mfa
from allauth.mfa.totp import forms as totp
from allauth.mfa.webauthn import forms as webauthn
from django import forms
from django.utils.translation import gettext_lazy

from agency.portal.forms.fields import dress


class Dressed(forms.Form):
    """Classes, no colons, no placeholders beside a label."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)
            dress(field.widget)


class LoginForm(Dressed, account.LoginForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = gettext_lazy("Email")
        self.fields["password"].help_text = ""


class RequestLoginCodeForm(Dressed, account.RequestLoginCodeForm):
    pass


class ConfirmLoginCodeForm(Dressed, account.ConfirmLoginCodeForm):
    pass


class ChangePasswordForm(Dressed, account.ChangePasswordForm):
    pass


class SetPasswordForm(Dressed, account.SetPasswordForm):
    pass


class ReauthenticateForm(Dressed, account.ReauthenticateForm):
    pass


class AuthenticateForm(Dressed, mfa.AuthenticateForm):
    pass


class MfaReauthenticateForm(Dressed, mfa.ReauthenticateForm):
    pass


class ActivateTOTPForm(Dressed, totp.ActivateTOTPForm):
    pass


class AddWebAuthnForm(Dressed, webauthn.AddWebAuthnForm):
    pass


class EditWebAuthnForm(Dressed, webauthn.EditWebAuthnForm):
    pass
