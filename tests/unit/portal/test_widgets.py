"""Widgets drawn in Python are what Django's own templates give."""

from __future__ import annotations

import pytest
from django import forms
from django.forms.renderers import DjangoTemplates

from agency.portal.widgets import DRAWN, WidgetRenderer

HOSTILE = "\"><script>alert('1')</script>&amp;"
GROUPED = [("a", HOSTILE), (HOSTILE, [("b", "B"), (HOSTILE, "C")])]
WIDGETS = [
    forms.TextInput(),
    forms.NumberInput(attrs={"step": "any", "required": True, "disabled": False}),
    forms.EmailInput(attrs={"class": HOSTILE}),
    forms.HiddenInput(),
    forms.PasswordInput(render_value=True),
    forms.DateInput(),
    forms.TimeInput(),
    forms.CheckboxInput(),
    forms.Textarea(attrs={"rows": 4}),
    forms.Select(choices=GROUPED),
    forms.Select(choices=[("", "–"), (1, "one"), (2, "two")], attrs={"aria-describedby": "hint"}),
    forms.CheckboxSelectMultiple(choices=GROUPED),
    forms.RadioSelect(choices=[("a", HOSTILE), ("b", "B")]),
    forms.ClearableFileInput(),
]


def words(html: str) -> list[str]:
    """Without what browsers make of line ends."""
    return html.replace(">", "> ").split()


@pytest.mark.parametrize("value", [None, "", "a", 0, True, HOSTILE, ["a", HOSTILE]], ids=repr)
@pytest.mark.parametrize("widget", WIDGETS, ids=lambda widget: type(widget).__name__)
def test_a_widget_is_drawn_as_django_draws_it(widget: forms.Widget, value: object) -> None:
    drawn = widget.render("name", value, {"id": "id_name"}, WidgetRenderer())

    assert words(drawn) == words(widget.render("name", value, {"id": "id_name"}, DjangoTemplates()))


@pytest.mark.parametrize("kind", [forms.CheckboxSelectMultiple, forms.RadioSelect])
@pytest.mark.parametrize("is_wrapped", [True, False])
def test_a_box_of_several_is_drawn_as_django_draws_it(kind: type[forms.ChoiceWidget], is_wrapped: bool) -> None:
    widget = kind(choices=[("a", HOSTILE), ("b", "B")])
    for option in widget.subwidgets("name", ["a"], {"id": "id_name"}):
        context = {"widget": {**option, "wrap_label": is_wrapped}}

        drawn = WidgetRenderer().render(widget.option_template_name, context)

        assert words(drawn) == words(DjangoTemplates().render(widget.option_template_name, context))


def test_every_drawn_template_is_one_of_djangos() -> None:
    engine = DjangoTemplates()
    assert all(engine.get_template(name) for name in DRAWN)
