"""Form widgets as HTML without a template each: the settings page has two hundred, and a select 500 clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any

from django.forms.renderers import DjangoTemplates
from django.http import HttpRequest
from django.utils.safestring import SafeString

PLACE = "django/forms/widgets/"
Widget = Mapping[str, Any]


class WidgetRenderer(DjangoTemplates):
    """Gives what Django's own templates give, but for line ends; whatever it does not know goes to them."""

    def render(self, template_name: str, context: Mapping[str, Any], request: HttpRequest | None = None) -> SafeString:
        draw = DRAWN.get(template_name)
        if draw is None:
            return SafeString(super().render(template_name, dict(context), request))
        # Every name and value went through `_text`.
        return SafeString(draw(context["widget"]))


def _text(value: object) -> str:
    """As templates put it: what is marked as HTML stays."""
    text = str(value)
    return text if hasattr(value, "__html__") or hasattr(text, "__html__") else escape(text)


def _attrs(widget: Widget) -> str:
    given = ((name, value) for name, value in widget["attrs"].items() if value is not False)
    return "".join(f" {_text(n)}" if v is True else f' {_text(n)}="{_text(v)}"' for n, v in given)


def _input(widget: Widget) -> str:
    value = "" if widget["value"] is None else f' value="{_text(widget["value"])}"'
    return f'<input type="{_text(widget["type"])}" name="{_text(widget["name"])}"{value}{_attrs(widget)}>'


def _box(widget: Widget) -> str:
    if not widget["wrap_label"]:
        return _input(widget)
    place = widget["attrs"].get("id")
    label = f' for="{_text(place)}"' if place else ""
    return f"<label{label}>{_input(widget)} {_text(widget['label'])}</label>"


def _textarea(widget: Widget) -> str:
    text = _text(widget["value"]) if widget["value"] else ""
    return f'<textarea name="{_text(widget["name"])}"{_attrs(widget)}>\n{text}</textarea>'


def _select(widget: Widget) -> str:
    groups = "".join(_group(name, options) for name, options, _place in widget["optgroups"])
    return f'<select name="{_text(widget["name"])}"{_attrs(widget)}>{groups}\n</select>'


def _group(name: str | None, options: Iterable[Widget]) -> str:
    drawn = "".join(f"\n  {_option(option)}" for option in options)
    return f'\n  <optgroup label="{_text(name)}">{drawn}\n  </optgroup>' if name else drawn


def _option(option: Widget) -> str:
    return f'<option value="{_text(option["value"])}"{_attrs(option)}>{_text(option["label"])}</option>'


INPUTS = ("text", "number", "email", "url", "password", "hidden", "date", "time", "search", "checkbox")
DRAWN: dict[str, Callable[[Widget], str]] = {f"{PLACE}{name}.html": _input for name in INPUTS}
DRAWN |= {f"{PLACE}{name}_option.html": _box for name in ("checkbox", "radio")}
DRAWN |= {f"{PLACE}textarea.html": _textarea, f"{PLACE}select.html": _select}
