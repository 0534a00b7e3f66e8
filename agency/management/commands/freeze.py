"""`manage.py freeze [CLIENT[/PIPELINE]]`: rollouts wait there; `--lift` ends it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.management.targets import opened_client, opened_pipeline, operator
from tenants import freezing, scope
from tenants.models import Agency, Client, Freeze, Pipeline

MOST_DAYS = 3650


class Command(BaseCommand):
    help = "Freezes rollouts of a pipeline, a client, or (without a name) of the whole agency. Rollbacks never wait."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("place", metavar="CLIENT[/PIPELINE]", nargs="?", default="")
        parser.add_argument("--reason", required=True, help="kept in the ledger")
        parser.add_argument("--days", type=int, help="ends by itself after so many days; else when it is lifted")
        parser.add_argument("--lift", action="store_true", help="ends what freezes exactly this place")

    def handle(self, *args: Any, **options: Any) -> None:
        now, by, reason = timezone.now(), operator(), options["reason"]
        ends_at = now + timedelta(days=_days(options["days"])) if options["days"] is not None else None
        with _opened(options["place"]) as place:
            try:
                if options["lift"]:
                    said = _lift(place, by, reason)
                else:
                    row = freezing.freeze(place, actor=by, reason=reason, now=now, ends_at=ends_at)
                    said = _("%(place)s is frozen: rollouts wait, rollbacks go on.") % {"place": row.place}
            except freezing.FreezeRefused as refused:
                raise CommandError(str(refused)) from refused
        self.stdout.write(said)


def _days(said: int) -> int:
    if not 1 <= said <= MOST_DAYS:
        sentence = _("A freeze lasts 1 to %(most)s days; without --days it lasts until it is lifted.")
        raise CommandError(sentence % {"most": MOST_DAYS})
    return said


@contextmanager
def _opened(name: str) -> Iterator[freezing.Place]:
    client, _slash, slug = name.partition("/")
    if slug:
        with opened_pipeline(name) as pipeline:
            yield pipeline
    elif client:
        with opened_client(client) as found:
            yield found
    else:
        agency = Agency.objects.order_by("pk").first()
        if agency is None:
            raise CommandError(_("This installation has no agency yet."))
        with scope.agency_scope(agency.pk):
            yield agency


def _lift(place: freezing.Place, by: str, reason: str) -> str:
    rows = freezing.in_force(Freeze.objects.select_related("client", "pipeline"), timezone.now())
    exactly: dict[str, Any] = {"client": None, "pipeline": None}
    if isinstance(place, Client):
        exactly["client"] = place
    elif isinstance(place, Pipeline):
        exactly = {"client": place.client, "pipeline": place}
    found = list(rows.filter(**exactly))
    for row in found:
        freezing.lift(row, actor=by, reason=reason, now=timezone.now())
    if not found:
        raise CommandError(_("Nothing freezes exactly this place."))
    return freezing.lifted_words(found[0], timezone.now())
