"""Field kinds that several forms share, and the look of every form."""

from __future__ import annotations

import json
import re
from collections.abc import Set
from datetime import UTC, datetime, timedelta
from datetime import timezone as fixed
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pipelines.outbound import OutboundRefused, check_url
from tenants import naming

UNITS_S = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400}
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(sec|min|s|m|h|d)\b", re.IGNORECASE)


class RetuneForm(forms.Form):
    """Every widget gets the class that styles it; errors and hints are tied to it by Django's aria attributes."""

    required_css_class = "is-required"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        for field in self.fields.values():
            dress(field.widget)


def dress(widget: forms.Widget) -> None:
    match widget:
        case forms.CheckboxInput() | forms.CheckboxSelectMultiple() | forms.RadioSelect():
            widget.attrs.setdefault("class", "form-check-input")
        case forms.Select():
            widget.attrs.setdefault("class", "form-select")
        case forms.HiddenInput():
            pass
        case _:
            widget.attrs.setdefault("class", "form-control")


class AddressValidator(URLValidator):
    """The host may be one word, as a compose file's service or a machine of the office is called."""

    one_word = re.compile(r"(?=[^.]*[a-z])[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?", re.IGNORECASE)

    def __call__(self, value: str) -> None:
        try:
            parts = urlsplit(value)
            place = "localhost" if parts.port is None else f"localhost:{parts.port}"
        except ValueError:
            return super().__call__(value)
        if "@" not in parts.netloc and self.one_word.fullmatch(parts.hostname or ""):
            value = parts._replace(netloc=place).geturl()
        return super().__call__(value)


class AddressField(forms.URLField):
    """The address of a server that we call."""

    default_validators = [AddressValidator()]


class ShortNameField(forms.CharField):
    """The short name of a client or a pipeline (tenants/naming). `reserved`: names that cannot be taken."""

    def __init__(self, reserved: Set[str], **kwargs: Any) -> None:
        super().__init__(max_length=naming.SHORT_NAME_MOST, **{"label": gettext_lazy("Short name")} | kwargs)
        self.reserved = reserved

    def clean(self, value: Any) -> str:
        try:
            return naming.short_name(super().clean(value), self.reserved)
        except naming.BadName as bad:
            raise ValidationError(str(bad)) from bad


def judged(url: str) -> str:
    """The address, if this installation may call it. Raises ValidationError with what to do."""
    try:
        check_url(url, settings.ALLOW_PRIVATE_HOSTS)
    except OutboundRefused as refused:
        raise ValidationError(str(refused)) from refused
    except OSError as fault:
        raise ValidationError(_("Its name does not resolve: check the address.")) from fault
    return url


# Marks a time that was typed without a zone.
TYPED = fixed(timedelta(0), "typed")


class WallTimeField(forms.DateTimeField):
    """A time on the wall of the active time zone. Where the clocks are changed, one that occurs twice is its first, or
    its second with `is_last`; one that is left out is as much later. In UTC."""

    widget = forms.DateTimeInput({"type": "datetime-local"})

    def __init__(self, *, is_last: bool = False, **more: Any) -> None:
        super().__init__(**more)
        self.is_last = is_last

    def to_python(self, value: Any) -> datetime | None:
        zone = timezone.get_current_timezone()
        with timezone.override(TYPED):
            found = super().to_python(value)
        if found is None or found.tzinfo is not TYPED:
            return found
        try:
            return found.replace(tzinfo=zone, fold=int(self.is_last)).astimezone(UTC)
        except OverflowError as beyond:  # In UTC before the year 1, or after 9999.
            raise ValidationError(self.error_messages["invalid"], code="invalid") from beyond


class ReasonForm(RetuneForm):
    """Why: kept in the ledger."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"), max_length=500, help_text=gettext_lazy("Kept in the ledger with your name.")
    )


class LinesField(forms.CharField):
    """One value a line."""

    widget = forms.Textarea(attrs={"rows": 4})
    between = re.compile(r"\n")

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(str(v) for v in value) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        return [part.strip() for part in self.between.split(value or "") if part.strip()]


class AddressesField(LinesField):
    """E-mail addresses, one a line; commas separate too."""

    between = re.compile(r"[\n,]")


class TextsField(LinesField):
    """Texts one a line; one that a line cannot hold (line breaks, spaces at its ends) stands as a JSON string."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(_on_a_line, value)) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        return [_out_of_quotes(line) if line.startswith('"') else line for line in super().to_python(value)]


def _on_a_line(text: str) -> str:
    is_plain = text == text.strip() and not re.search(r"[\r\n]", text) and not text.startswith('"')
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def _out_of_quotes(line: str) -> str:
    """Raises ValidationError for what is no JSON string of at least one character."""
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, str) or not found:
        said = _("“%(text)s” is no text in quotes. Write for example %(good)s.")
        raise ValidationError(said % {"text": line, "good": r'"\nUser:"'})
    return found


class ListOrWordField(LinesField):
    """Values with commas between them, or the one word that means none at all; nothing is None: as usual."""

    between = re.compile(r"[\n,]")

    def __init__(self, word: str, **kwargs: Any) -> None:
        super().__init__(**{"widget": forms.TextInput} | kwargs)
        self.word = word

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(str(v) for v in value) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        found = super().to_python(value)
        if self.word in found and len(found) > 1:
            raise ValidationError(_("Write “%(word)s” alone, or leave it out.") % {"word": self.word})
        return self.word if found == [self.word] else found or None


class DurationField(forms.CharField):
    """Seconds, written as people write them: 48 h, 30 min, 1 d 12 h; a bare number is seconds."""

    max_chars = 40  # A float holds every number of so many digits.

    def prepare_value(self, value: Any) -> Any:
        return spell(value) if isinstance(value, int | float) else value

    def to_python(self, value: Any) -> int | None:  # type: ignore[override]
        text = str(value or "").strip()
        if not text:
            return None
        is_bare = re.fullmatch(r"\d+", text)
        parts = [(text, "s")] if is_bare else DURATION.findall(text)
        rest = "" if is_bare else DURATION.sub("", text).strip(" ,+")
        if not parts or rest or len(text) > self.max_chars:
            raise ValidationError(
                _("“%(text)s” is not a duration. Write for example 30 min, 48 h or 1 d.")
                % {"text": text[: self.max_chars]}
            )
        return round(sum(float(number) * UNITS_S[unit.lower()] for number, unit in parts))


def spell(seconds: float) -> str:
    """5400 -> 1 h 30 min."""
    rest, said = int(seconds), []
    for unit in ("d", "h", "min", "s"):
        count, rest = divmod(rest, UNITS_S[unit])
        if count:
            said.append(f"{count} {unit}")
    return " ".join(said) or "0 s"


class PercentField(forms.FloatField):
    """A share in [0, 1], written in percent."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=0, max_value=100, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return float(f"{100 * value:.6g}") if isinstance(value, float) else value

    def clean(self, value: Any) -> float | None:
        number = super().clean(value)
        return None if number is None else number / 100
