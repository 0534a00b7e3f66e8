"""The digest of a week for one member of the staff: what needs somebody first, then each client in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from agency.mail.compose import inliner, message_id
from agency.mail.words import one_line
from pipelines.domain.transitions import RunStatus
from pipelines.models import ModelVersion, Notice, Rollback, Run
from pipelines.notifiers import Message
from tenants import access, scope
from tenants.models import Client, MailChoice, Membership
from tenants.telling.choices import Leaving, ticket

SHOWN = 40
# The order in which a week is told: what went wrong first.
ENDS = ("failed", "rolled_back", "stopped", "rejected", "succeeded", "skipped", "cancelled")


@dataclass(frozen=True)
class ClientWeek:
    """One client's week; `waiting` are held runs, `lines` sentences. Empty `lines`: nothing happened."""

    name: str
    url: str
    waiting: tuple[tuple[str, str], ...]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Digest:
    """One object for subject, HTML and text."""

    subject: str
    since: datetime
    until: datetime
    weeks: tuple[ClientWeek, ...]
    quiet: tuple[str, ...]
    more: int

    @property
    def waiting(self) -> tuple[tuple[str, str], ...]:
        return tuple(one for week in self.weeks for one in week.waiting)


def compose_digest(choice: MailChoice, since: datetime, until: datetime) -> Message | None:
    """None for somebody who may see no client any more; inside the agency's scope."""
    clients = [one for one in clients_of(choice.agency_id, choice.address) if one.pk not in choice.off_clients]
    if not clients:
        return None
    with translation.override("en"):
        digest = digest_of(clients, since, until)
        base = settings.BASE_URL.rstrip("/")
        leaving = f"{base}{reverse('leave-mails', args=[ticket(Leaving(choice.agency_id, 0, choice.address))])}"
        given = {"digest": digest, "mails_url": f"{base}{reverse('mails')}", "leaving": leaving}
        html, text = (render_to_string(f"mail/digest.{kind}", given) for kind in ("html", "txt"))
        week = f"{until:%G-%V}"
        mine = message_id("digest", choice.pk, week)
        return Message(digest.subject, inliner().inline(html), text, mine, message_id("digest", choice.pk), leaving)


def clients_of(agency_id: int, address: str) -> list[Client]:
    """The clients whose staff pages this person may read, in the order of their names."""
    with scope.agency_scope(agency_id):
        rows = Membership.objects.filter(user__email=address.lower(), user__is_active=True)
        staff = [row for row in rows if access.can(row.role, access.VIEW)]
        found = Client.objects.order_by("name")
        if not any(row.client_id is None for row in staff):
            found = found.filter(pk__in=[row.client_id for row in staff])
        return list(found)


def digest_of(clients: Sequence[Client], since: datetime, until: datetime) -> Digest:
    """Four queries, however many clients there are."""
    keys = [client.pk for client in clients]
    told = _Facts(keys, since, until)
    weeks = [told.week(client) for client in clients]
    busy = sorted((week for week in weeks if week.lines or week.waiting), key=lambda week: not week.waiting)
    quiet = tuple(week.name for week in weeks if not week.lines and not week.waiting)
    waiting = sum(len(week.waiting) for week in busy)
    subject = _("The week of %(n)s clients") % {"n": len(clients)}
    if waiting:
        subject += f": {ngettext('%(n)s run needs you', '%(n)s runs need you', waiting) % {'n': waiting}}"
    return Digest(subject, since, until, tuple(busy[:SHOWN]), quiet[:SHOWN], max(0, len(busy) - SHOWN))


class _Facts:
    """What happened at some clients between two times."""

    def __init__(self, keys: list[int], since: datetime, until: datetime) -> None:
        between = {"client_id__in": keys}
        self.ended: dict[int, Counter[str]] = {key: Counter() for key in keys}
        ended = Run.objects.filter(finished_at__gt=since, finished_at__lte=until, **between)
        for key, status in ended.values_list("client_id", "status"):
            self.ended[key][status] += 1
        held = Run.objects.filter(status=RunStatus.HELD, **between).select_related("pipeline", "client")
        self.held: list[Run] = list(held.order_by("created_at"))
        promoted = ModelVersion.objects.filter(promoted_at__gt=since, promoted_at__lte=until, **between)
        self.promoted: list[ModelVersion] = list(promoted.select_related("pipeline").order_by("promoted_at"))
        backs = Rollback.objects.filter(flipped_at__gt=since, flipped_at__lte=until, **between)
        self.backs: list[Rollback] = list(backs.select_related("pipeline", "from_version", "to_version"))
        muted = Notice.objects.filter(created_at__gt=since, detail__muted=True, **between)
        self.muted = Counter(muted.values_list("client_id", flat=True))

    def week(self, client: Client) -> ClientWeek:
        base = f"{settings.BASE_URL.rstrip('/')}/c/{client.slug}/"
        waiting = tuple(
            (
                one_line(f"{client.name} {run.pipeline.name} {run}: {run.reason}", 200),
                f"{base}{run.pipeline.slug}/runs/{run.number}/",
            )
            for run in self.held
            if run.client_id == client.pk
        )
        return ClientWeek(one_line(client.name, 60), base, waiting, tuple(self._lines(client)))

    def _lines(self, client: Client) -> list[str]:
        said = [
            _("%(pipeline)s %(version)s is in production") % {"pipeline": one_line(v.pipeline.name), "version": v.label}
            for v in self.promoted
            if v.client_id == client.pk
        ]
        said += [one_line(f"{b.pipeline.name}: {b.sentence}", 300) for b in self.backs if b.client_id == client.pk]
        counts = self.ended[client.pk]
        runs = ", ".join(f"{counts[end]} {end.replace('_', ' ')}" for end in ENDS if counts[end])
        said += [_("Runs: %(runs)s") % {"runs": runs}] if runs else []
        if muted := self.muted[client.pk]:
            said.append(ngettext("%(n)s repeat was not mailed", "%(n)s repeats were not mailed", muted) % {"n": muted})
        return said
