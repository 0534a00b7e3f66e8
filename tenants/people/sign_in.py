"""What an agency asks of how its people sign in: a second factor of its staff, sessions that end sooner."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db import transaction

from tenants.models import Agency, AuditEvent


@dataclass(frozen=True)
class Rules:
    """None: no limit of the agency's own; a session then lasts as long as the installation lets it (two weeks).

    `needs_factor` is asked of staff; the times hold for the readers of its clients too.
    """

    needs_factor: bool = False
    session_hours: int | None = None
    idle_minutes: int | None = None

    @classmethod
    def of(cls, agency: Agency) -> Rules:
        return cls(agency.needs_factor, agency.session_hours, agency.idle_minutes)


@dataclass(frozen=True)
class Limits:
    """How long a session lasts from signing in, and without a page being opened. None: no limit."""

    session: timedelta | None
    idle: timedelta | None

    def is_over(self, begun: datetime, seen: datetime, now: datetime) -> bool:
        too_long = self.session is not None and now - begun >= self.session
        return too_long or (self.idle is not None and now - seen >= self.idle)


def strictest(rules: Iterable[Rules]) -> Limits:
    """Of every agency that somebody belongs to."""
    found = list(rules)
    hours = min((one.session_hours for one in found if one.session_hours), default=None)
    minutes = min((one.idle_minutes for one in found if one.idle_minutes), default=None)
    return Limits(timedelta(hours=hours) if hours else None, timedelta(minutes=minutes) if minutes else None)


@transaction.atomic
def set_rules(agency: Agency, wanted: Rules, actor: str, now: datetime, reason: str) -> bool:
    """False: nothing differs. Holds from everybody's next page on. In the agency's scope."""
    row = Agency.objects.select_for_update().get(pk=agency.pk)
    before, after = asdict(Rules.of(row)), asdict(wanted)
    changed = {name: [before[name], after[name]] for name in after if before[name] != after[name]}
    if changed:
        for name, value in after.items():
            setattr(row, name, value)
        row.save(update_fields=[*after])
        AuditEvent.append(row, actor, "agency.sign-in", row.slug, now, {"changed": changed, "reason": reason})
    return bool(changed)
