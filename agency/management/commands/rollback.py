"""`manage.py rollback CLIENT/PIPELINE`: moves all traffic back to an earlier version, without the database too."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError
from django.utils import timezone
from django.utils.translation import gettext as _

from agency.gateway.routes.orders import send_order, sockets
from agency.management.targets import opened_pipeline, operator
from pipelines.actions import ActionRefused, roll_back
from pipelines.models import ModelVersion
from tenants.models import Pipeline


class Command(BaseCommand):
    help = "Rolls a pipeline back, to the version before or to any archived one. Without the database by its gateways."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("pipeline", metavar="CLIENT/PIPELINE")
        parser.add_argument("--to", metavar="vN", help="the version to go back to; left out, the one before")
        parser.add_argument("--reason", required=True, help="kept in the ledger")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.stdout.write(_by_database(options["pipeline"], options["to"], options["reason"]))
        except (DatabaseError, InterfaceError) as error:
            self.stderr.write(_("The database is away (%(why)s).") % {"why": str(error).strip().partition("\n")[0]})
            for line in _by_gateways(options["pipeline"], options["to"], options["reason"]):
                self.stdout.write(line)


def _by_database(name: str, to: str | None, reason: str) -> str:
    now = timezone.now()
    with opened_pipeline(name) as pipeline:
        target = _version(pipeline, to) if to else None
        try:
            made = roll_back(pipeline, to=target, actor=operator(), reason=reason, now=now)
        except ActionRefused as error:
            raise CommandError(str(error)) from error
        words = {"gone": made.from_version, "back": made.to_version}
    if made.flipped_at is None:
        return _("%(back)s is loaded and asked on its hosts first; then it answers instead of %(gone)s.") % words
    return _("%(gone)s was taken back; %(back)s answers all traffic.") % words


def _version(pipeline: Pipeline, label: str) -> ModelVersion:
    number = label.removeprefix("v")
    found = ModelVersion.objects.filter(pipeline=pipeline, number=number).first() if number.isdecimal() else None
    if found is None:
        raise CommandError(_("%(pipeline)s has no version %(label)s.") % {"pipeline": pipeline.slug, "label": label})
    return found


def _by_gateways(name: str, to: str | None, reason: str) -> list[str]:
    """An order to every gateway of this machine; the database follows when it is back. A line each."""
    client, _slash, pipeline = name.partition("/")
    order: dict[str, Any] = {"client": client, "pipeline": pipeline, "by": operator(), "reason": reason}
    if to and not to.removeprefix("v").isdecimal():
        raise CommandError(_("%(label)s is no version: write v3.") % {"label": to})
    order |= {"to_version": int(to.removeprefix("v"))} if to else {}
    answers = {path.name: _told(path, {"flip": order}) for path in sockets(settings.VAR)}
    said = [_words(socket, answer) for socket, answer in answers.items()]
    if not answers or not all(answer["ok"] for answer in answers.values()):
        why = _("Not every gateway of this machine obeyed.") if answers else _("No gateway listens on this machine.")
        raise CommandError("\n".join([why, *said]))
    return [*said, _("Ledger, pages and hosts follow when the database is back.")]


def _told(path: Any, order: dict[str, Any]) -> dict[str, Any]:
    try:
        return send_order(path, order)
    except (OSError, ValueError) as error:
        return {"ok": False, "error": _("nobody listens (%(why)s)") % {"why": error}}


def _words(socket: str, answer: dict[str, Any]) -> str:
    if answer["ok"]:
        words = {"socket": socket, "number": answer["production"]}
        return _("%(socket)s: v%(number)s answers all traffic.") % words
    return f"{socket}: {answer['error']}"
