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
    matching = ((name.casefold(), name, url, args) for name, url, args in _all(words))
    found = [one for one in matching if all(word in one[0] for word in words)]
    found.sort(key=lambda one: not one[0].startswith(start))
    return [Place(name, reverse(url, args=args)) for _key, name, url, args in found[:SHOWN]]


def _all(words: list[str]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(name, page, its arguments): an address is made only for what is shown."""
    yield from ((name, url, ()) for url, name in _agency_pages())
    yield from ((name, "client", (slug,)) for name, slug in Client.objects.values_list("name", "slug"))
    named = Pipeline.objects.order_by("client__name", "name")
    pages = [(url, str(page)) for url, page in _pipeline_pages()] if words else []
    for client, pipeline, *slugs in named.values_list("client__name", "name", "client__slug", "slug"):
        name, args = f"{client} · {pipeline}", tuple(slugs)
        yield name, "pipeline", args
        yield from ((f"{name} · {page}", url, args) for url, page in pages)


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
