"""Four eyes: where it is switched on, one person proposes and another confirms. Keys and commands do neither.

The act itself asks `second_for`, so that no page, operation or command can go round it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from tenants import scope
from tenants.models import Agency, AuditEvent, Client, Membership, Outcome, Pipeline, Proposal

LASTS = timedelta(hours=48)
# Settings that say how good is good enough, and how a version gets its traffic.
THRESHOLDS = ("stages", "gates", "criteria", "data", "rollout", "monitor")

Place = Agency | Client


class Topic(StrEnum):
    """What can be asked of two people: each is a column `two_for_<topic>` of agency and client."""

    PROMOTION = "promotion"
    THRESHOLDS = "thresholds"
    ERASURE = "erasure"

    @property
    def column(self) -> str:
        return f"two_for_{self.value}"


class TwoPeopleNeeded(ValueError):
    """One person, key or command alone asked for what takes two people. Nothing was changed."""

    permanent = True


class ProposalRefused(ValueError):
    """It cannot be proposed or decided so: the sentence says why. Nothing was changed."""


_confirmed: ContextVar[Proposal | None] = ContextVar("retune_confirmed", default=None)


def asks(place: Place, topic: Topic) -> bool:
    """Whether two people are asked; a client without a word of its own is as its agency."""
    said: bool | None = getattr(place, topic.column)
    return bool(getattr(place.agency, topic.column) if said is None and isinstance(place, Client) else said)


def touches_thresholds(paths: list[str]) -> bool:
    """`paths`: dotted paths of the settings that change."""
    return any(path.partition(".")[0] in THRESHOLDS for path in paths)


def second_for(place: Place, topic: Topic, actor: str) -> str:
    """Who confirmed what `actor` does now; empty where one person is enough. Raises `TwoPeopleNeeded`."""
    if not asks(place, topic):
        return ""
    given, owner = _confirmed.get(), (place.pk, None) if isinstance(place, Agency) else (place.agency_id, place.pk)
    if given is None or given.owner() != owner or given.proposed_by != actor:
        raise TwoPeopleNeeded(
            _("Two people decide this here: one proposes it on its page, another confirms. Keys and commands cannot.")
        )
    return given.decided_by


@dataclass(frozen=True)
class Wish:
    """What is proposed: `kind` names the act, `payload` is what it is made of, `subject` names it for people."""

    kind: str
    subject: str
    reason: str
    payload: dict[str, Any] = field(default_factory=dict)


@transaction.atomic
def propose(owner: Agency | Client | Pipeline, wish: Wish, *, actor: str, now: datetime) -> Proposal:
    """Waits 48 hours for a second person. Raises `ProposalRefused`."""
    if not wish.reason.strip():
        raise ProposalRefused(_("Say why: the reason is kept in the ledger."))
    agency_id, client_id = _owner(owner)
    _must_be_staff(agency_id, actor)
    alike = Proposal.objects.filter(agency_id=agency_id, client_id=client_id, kind=wish.kind, subject=wish.subject)
    earlier = open_ones(alike, now).first()
    if earlier is not None:
        raise ProposalRefused(_("%(by)s proposed this already: confirm or decline it.") % {"by": earlier.proposed_by})
    row = Proposal(agency_id=agency_id, client_id=client_id, kind=wish.kind, subject=wish.subject)
    row.pipeline = owner if isinstance(owner, Pipeline) else None
    row.payload, row.reason, row.proposed_by = wish.payload, wish.reason.strip(), actor
    row.proposed_at, row.expires_at = now, now + LASTS
    row.save()
    _tell(row, actor, "proposal.make", now, {"reason": row.reason, "until": row.expires_at.isoformat()})
    return row


def _owner(owner: Agency | Client | Pipeline) -> tuple[int, int | None]:
    if isinstance(owner, Agency):
        return owner.pk, None
    return owner.agency_id, owner.pk if isinstance(owner, Client) else owner.client_id


def open_ones(rows: QuerySet[Proposal], now: datetime) -> QuerySet[Proposal]:
    return rows.filter(outcome="", expires_at__gt=now)


@contextmanager
def confirmed(proposal: Proposal, *, actor: str, now: datetime) -> Iterator[Proposal]:
    """Inside it the proposer's act passes `second_for`; both stand or fall together. Raises `ProposalRefused`."""
    with transaction.atomic():
        row = _locked(proposal, now)
        if row.proposed_by == actor:
            raise ProposalRefused(_("Whoever proposes does not confirm: ask somebody else."))
        _must_be_staff(row.agency_id, actor)
        _must_be_staff(row.agency_id, row.proposed_by)
        row = _close(row, Outcome.CONFIRMED, actor, now)
        _tell(row, actor, "proposal.confirm", now, {"proposed_by": row.proposed_by, "reason": row.reason})
        token = _confirmed.set(row)
        try:
            yield row
        finally:
            _confirmed.reset(token)


@transaction.atomic
def decline(proposal: Proposal, *, actor: str, reason: str, now: datetime) -> Proposal:
    """Nothing happens; the proposer takes their own one back by the same act."""
    if not reason.strip():
        raise ProposalRefused(_("Say why: the reason is kept in the ledger."))
    row = _locked(proposal, now)
    outcome = Outcome.WITHDRAWN if row.proposed_by == actor else Outcome.DECLINED
    row = _close(row, outcome, actor, now)
    verb = "proposal.withdraw" if outcome == Outcome.WITHDRAWN else "proposal.decline"
    _tell(row, actor, verb, now, {"proposed_by": row.proposed_by, "reason": reason})
    return row


def drop_of(email: str, client_id: int | None, actor: str, now: datetime) -> None:
    """What somebody who leaves, or gets another role, proposed and nobody decided: taken back."""
    rows = open_ones(Proposal.objects.filter(proposed_by=email), now)
    for row in rows.filter(client_id=client_id) if client_id else rows:
        _close(row, Outcome.WITHDRAWN, actor, now)
        _tell(row, actor, "proposal.withdraw", now, {"proposed_by": email, "reason": "left or changed role"})


def _locked(proposal: Proposal, now: datetime) -> Proposal:
    row: Proposal = Proposal.objects.select_for_update(of=("self",)).get(pk=proposal.pk)
    if row.outcome:
        words = {"by": row.decided_by, "outcome": row.outcome}
        raise ProposalRefused(_("This is decided already: %(outcome)s by %(by)s.") % words)
    if now >= row.expires_at:
        raise ProposalRefused(_("This proposal expired: propose it anew."))
    return row


def _close(row: Proposal, outcome: Outcome, actor: str, now: datetime) -> Proposal:
    row.outcome, row.decided_by, row.decided_at = outcome, actor, now
    row.save(update_fields=["outcome", "decided_by", "decided_at"])
    return row


def _must_be_staff(agency_id: int | None, actor: str) -> None:
    """A person of the agency, now: neither a key, nor a command, nor somebody who left."""
    with scope.agency_scope(agency_id or 0):
        found = Membership.objects.filter(agency_id=agency_id, user__email=actor).exclude(role="reader").exists()
    if not found:
        raise ProposalRefused(
            _("%(who)s is no person of this agency: only people propose and confirm.") % {"who": actor}
        )


def _tell(row: Proposal, actor: str, verb: str, now: datetime, detail: dict[str, Any]) -> None:
    owner = row if row.client_id is not None else Agency.objects.get(pk=row.agency_id)
    AuditEvent.append(owner, actor, verb, f"{row.kind} {row.subject}"[:200], now, detail | {"proposal": row.pk})


@transaction.atomic
def switch(place: Place, wanted: dict[Topic, bool | None], actor: str, now: datetime, reason: str = "") -> None:
    """None (of a client) is as the agency says. Asking fewer people than before is itself for two people."""
    was = {topic: getattr(place, topic.column) for topic in Topic}
    second = next((second_for(place, topic, actor) for topic in lost(place, wanted)), "")
    wanted = was | wanted
    for topic in Topic:
        setattr(place, topic.column, wanted[topic])
    place.save(update_fields=[topic.column for topic in Topic])
    changed = {topic.value: [was[topic], wanted[topic]] for topic in Topic if was[topic] != wanted[topic]}
    detail = {"changed": changed, "reason": reason, "confirmed_by": second}
    AuditEvent.append(place, actor, "four-eyes.switch", place.slug, now, detail)


def lost(place: Place, wanted: dict[Topic, bool | None]) -> list[Topic]:
    """For what two people are asked now, and would not be any more."""
    agency = place.agency if isinstance(place, Client) else None
    wanted = {topic: getattr(place, topic.column) for topic in Topic} | wanted
    said = {t: wanted[t] if wanted[t] is not None else bool(agency and getattr(agency, t.column)) for t in Topic}
    return [topic for topic in Topic if asks(place, topic) and not said[topic]]
