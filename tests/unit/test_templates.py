"""What templates name exists: Django shows nothing, and says nothing, where an attribute is gone."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from allauth.mfa.webauthn import forms as mfa_forms
from allauth.usersessions import models as sessions
from django.contrib.messages.storage import base as messages
from django.core import paginator
from django.forms import boundfield, forms, utils, widgets

ROOT = Path(__file__).resolve().parents[2]
CODE = [path for room in ("agency", "pipelines", "tenants") for path in (ROOT / room).rglob("*.py")]
TEMPLATES = sorted((ROOT / "templates").rglob("*.*"))
TAG = re.compile(r"{{.*?}}|{%.*?%}", re.DOTALL)
QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
ATTRIBUTE = re.compile(r"(?<=[\w\]])\.([A-Za-z_]\w*)")
# The parts of Django and allauth whose objects stand in templates, and the loop's own names.
OTHERS = (paginator, boundfield, forms, utils, widgets, messages, mfa_forms, sessions)
OF_OTHERS = frozenset(word for module in OTHERS for word in re.findall(r"\w+", inspect.getsource(module)))
OF_LOOPS = frozenset({"parentloop", "counter", "counter0", "first", "last"})


@pytest.fixture(scope="module")
def words() -> frozenset[str]:
    return frozenset(word for path in CODE for word in re.findall(r"\w+", path.read_text()))


def named(template: Path) -> Iterator[str]:
    for tag in TAG.findall(template.read_text()):
        yield from ATTRIBUTE.findall(QUOTED.sub("", tag))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_each_attribute_that_a_template_reads_is_a_word_of_the_code(template: Path, words: frozenset[str]) -> None:
    assert sorted(set(named(template)) - words - OF_OTHERS - OF_LOOPS) == []


def test_the_search_sees_an_attribute_that_is_gone(tmp_path: Path, words: frozenset[str]) -> None:
    page = tmp_path / "page.html"
    page.write_text("{% if row.was_renamed %}{{ row.name|default:'a.b' }}{% endif %}")
    assert set(named(page)) - words == {"was_renamed"}
