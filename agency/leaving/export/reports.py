"""A client's reports, a month each, as pages that need nothing beside themselves: no script, no other file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache

from django.conf import settings
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils import timezone, translation

from agency.reports.pages import Reader, values
from pipelines.reports.client import Month, month_of
from tenants.models import Client

CLASS = re.compile(r"\.(-?[A-Za-z_][\w-]*)")
WORD = re.compile(r"[\w-]+")
SHEETS = ("vendor/tabler-1.6.1/tabler.min.css", "retune.css")


def months(client: Client, now: datetime) -> Iterator[Month]:
    """From the client's first to the one that is not over."""
    month, last = month_of(client.created_at, client.zone), month_of(now, client.zone)
    while month <= last:
        yield month
        month = month.next


def report_page(client: Client, month: Month) -> str:
    """Inside the client's scope."""
    with translation.override(client.language), timezone.override(client.zone):
        given = values(client, None, month, Reader(False, ""))
        given["request"] = {"LANGUAGE_CODE": client.language}
        page = render_to_string("reports/archived.html", given)
        given["css"] = _styles_of(page)
        page = render_to_string("reports/archived.html", given)
    icons = static("icons.svg")
    return page.replace(f'href="{icons}#', 'href="#').replace("<body>", f"<body>{_sprite()}", 1)


def _styles_of(page: str) -> str:
    """The rules whose classes the page has: a sixth of what all pages together need."""
    words = frozenset(WORD.findall(page))
    return "".join(_used(_sheets(), words)).replace("</", "<\\/")


def _used(css: str, words: frozenset[str]) -> Iterator[str]:
    for head, body in _rules(css):
        if head.startswith(("@media", "@supports")):
            inner = "".join(_used(body, words))
            yield f"{head}{{{inner}}}" if inner else ""
        elif head.startswith("@") or any(set(CLASS.findall(part)) <= words for part in head.split(",")):
            yield f"{head}{{{body}}}"


@cache
def _rules(css: str) -> tuple[tuple[str, str], ...]:
    """(selector or at-rule, what stands in its braces), outermost only."""
    return tuple(_split(css))


def _split(css: str) -> Iterator[tuple[str, str]]:
    depth = begin = opened = 0
    for at, char in enumerate(css):
        if char == "{":
            opened = at if depth == 0 else opened
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                yield css[begin:opened].strip(), css[opened + 1 : at]
                begin = at + 1
        elif char == ";" and depth == 0:
            begin = at + 1


def _sprite() -> str:
    return _text("icons.svg").replace("<svg ", '<svg style="display:none" ', 1)


@cache
def _text(name: str) -> str:
    text: str = (settings.ROOT / "static" / name).read_text()
    return text


@cache
def _sheets() -> str:
    return re.sub(r"/\*.*?\*/", "", "".join(_text(name) for name in SHEETS), flags=re.DOTALL)
