"""Where a few typed words may lead: pages of the agency, clients, pipelines and the pages of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import reverse
from django.utils.translation import gettext as _

from tenants.models import Client, Pipeline

SHOWN = 12


@dataclass(frozen=True)
class Place:
    """`name` is what the words are looked for in; every word must stand in it."""

    name: str
    url: str


def places(text: str) -> list[Place]:
    """Inside an agency's scope: at most twelve, those first whose name begins as the text does."""
    words, start = text.casefold().split(), text.casefold().strip()
    found = list(_matching(words))
    found.sort(key=lambda one: not one[0].casefold().startswith(start))
    return [Place(name, reverse(url, args=args)) for name, url, args in found[:SHOWN]]


def _matching(words: list[str]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(name, page, its arguments) of what every word stands in: an address is made only for what is shown."""
    yield from ((name, url, ()) for url, name in _agency_pages() if not _lacking(words, name))
    clients = Client.objects.values_list("name", "slug")
    yield from ((name, "client", (slug,)) for name, slug in clients if not _lacking(words, name))
    pages = [(url, str(page)) for url, page in _pipeline_pages()] if words else []
    # Of thousands of pipelines few have all the words that no page has.
    of_pages = {word for word in words for _url, page in pages if word in page.casefold()}
    rest = [word for word in words if word not in of_pages]
    named = Pipeline.objects.order_by("client__name", "name")
    for client, pipeline, *slugs in named.values_list("client__name", "name", "client__slug", "slug"):
        name, args = f"{client} · {pipeline}", tuple(slugs)
        if _lacking(rest, name):
            continue
        lacking = _lacking(words, name)
        if not lacking:
            yield name, "pipeline", args
        yield from ((f"{name} · {page}", url, args) for url, page in pages if not _lacking(lacking, page))


def _lacking(words: list[str], name: str) -> list[str]:
    """The words that do not stand in the name."""
    folded = name.casefold()
    return [word for word in words if word not in folded]


def _agency_pages() -> tuple[tuple[str, str], ...]:
    return (
        ("overview", _("Clients")),
        ("gate-log", _("Gate log")),
        ("rollback-log", _("Rollback log")),
        ("freezes", _("Freezes")),
        ("people", _("People")),
        ("channels", _("Channels")),
        ("four-eyes", _("Four eyes")),
        ("value", _("Value")),
    )


def _pipeline_pages() -> tuple[tuple[str, str], ...]:
    return (
        ("runs", _("Runs")),
        ("versions", _("Versions")),
        ("trends", _("Trends")),
        ("traffic", _("Traffic")),
        ("complaint", _("A bad answer")),
        ("data", _("Data")),
        ("eval-sets", _("Evaluation sets")),
        ("quarantine", _("Quarantine")),
        ("review", _("Review")),
        ("pipeline-gates", _("Gates")),
        ("settings", _("Settings")),
    )
