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
    words = text.casefold().split()
    found = [place for place in _all(words) if all(word in place.name.casefold() for word in words)]
    found.sort(key=lambda place: not place.name.casefold().startswith(text.casefold().strip()))
    return found[:SHOWN]


def _all(words: list[str]) -> Iterator[Place]:
    yield from (Place(name, reverse(url)) for url, name in _agency_pages())
    yield from (Place(client.name, reverse("client", args=[client.slug])) for client in Client.objects.all())
    for pipeline in Pipeline.objects.select_related("client").order_by("client__name", "name"):
        name, args = f"{pipeline.client.name} · {pipeline.name}", [pipeline.client.slug, pipeline.slug]
        yield Place(name, reverse("pipeline", args=args))
        if words:
            yield from (Place(f"{name} · {page}", reverse(url, args=args)) for url, page in _pipeline_pages())


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
