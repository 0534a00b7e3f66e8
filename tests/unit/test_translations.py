"""What clients read is whole in every language, and the compiled catalogue is the one that was edited."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext, ngettext

from tools.translations import LANGUAGES, facts, faults, in_python, in_template, read

FIELD = re.compile(r"%\((\w+)\)s")


def test_every_language_of_the_product_but_english_has_a_catalogue() -> None:
    assert set(LANGUAGES) == {code for code, _name in settings.LANGUAGES} - {"en"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_that_a_client_reads_is_untranslated_left_over_or_not_compiled(language: str) -> None:
    assert faults(language) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_holds_the_same_values_as_its_text(language: str) -> None:
    differing = {
        text: said
        for text, said in facts(read(language)).items()
        if any(set(FIELD.findall(one)) != set(FIELD.findall(text)) for one in said)
    }

    assert differing == {}


def test_the_compiled_catalogue_is_the_one_in_use() -> None:
    with translation.override("es"):
        assert gettext("All your models are in service.") == "Todos sus modelos están en servicio."
        assert ngettext("%(n)s question was asked.", "%(n)s questions were asked.", 2) == "Se hicieron %(n)s preguntas."


def test_texts_are_found_where_they_stand() -> None:
    template = (
        "{% trans 'One' %} {% trans \"Two 5 %\" %} {% blocktrans with n=x|count %}{{ n }} of 100 %{% endblocktrans %}"
    )

    assert list(in_template(template)) == ["One", "Two 5 %%", "%(n)s of 100 %%"]
    assert list(in_python('_("One"); ngettext("%(n)s row", "%(n)s rows", n); _(variable)')) == [
        "One",
        ("%(n)s row", "%(n)s rows"),
    ]
