"""Caps: what a client, or a whole agency, may use at most. None by default; the agency's owner sets them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tenants import scope
from tenants.models import Agency, AuditEvent, Cap, CapKind, Client, Pipeline

Changed = dict[str, list[int | None]]
Used = Callable[[int | None], int]
CENTS, GIB = 100, 2**30
# What is said where no more fits, of one client and of the agency.
REACHED: dict[str, tuple[Promise, Promise]] = {
    CapKind.RUNS: (
        _("This client has %(used)s live runs of at most %(most)s. Let one end, or have an owner raise the cap."),
        _("The agency has %(used)s live runs of at most %(most)s. Let one end, or have an owner raise the cap."),
    ),
    CapKind.PIPELINES: (
        _("This client has %(used)s pipelines of at most %(most)s. Have an owner raise the cap."),
        _("The agency has %(used)s pipelines of at most %(most)s. Have an owner raise the cap."),
    ),
    CapKind.BYTES: (
        _("This client keeps %(used)s GiB of at most %(most)s. Keep fewer versions, or have an owner raise the cap."),
        _("The agency keeps %(used)s GiB of at most %(most)s. Keep fewer versions, or have an owner raise the cap."),
    ),
    CapKind.SPEND: (
        _("This client's computing cost %(used)s this month of at most %(most)s. Have an owner raise the cap."),
        _("The agency's computing cost %(used)s this month of at most %(most)s. Have an owner raise the cap."),
    ),
    CapKind.TOKENS: (
        _("This client used %(used)s tokens this month of at most %(most)s."),
        _("The agency used %(used)s tokens this month of at most %(most)s."),
    ),
}


class CapReached(RuntimeError):
    """No more fits: the sentence says of what, and what to do. Nothing was changed."""


def in_words(kind: str, amount: int) -> str:
    """Bytes as GiB, cents as money; the rest as it is counted."""
    match kind:
        case CapKind.BYTES:
            return f"{amount / GIB:,.2f}"
        case CapKind.SPEND:
            return f"{amount / CENTS:,.2f}"
    return f"{amount:,}"


def sentence(cap: Cap, used: int) -> str:
    said = REACHED[cap.kind][cap.client_id is None]
    return str(said) % {"used": in_words(cap.kind, used), "most": in_words(cap.kind, cap.most)}


def refuse_beyond(kind: CapKind, agency_id: int, client_id: int, used: Used, more: int = 1) -> None:
    """Raises `CapReached` where `more` would pass a cap of the client or of the agency.

    In the transaction that adds: the caps stay locked until it is over. `used` is asked in the agency's scope, for one
    client or for all.
    """
    with scope.agency_scope(agency_id):
        for cap in _caps(kind, agency_id, client_id).select_for_update():
            amount = used(cap.client_id)
            if amount + more > cap.most:
                raise CapReached(sentence(cap, amount))


def passed(kind: CapKind, agency_id: int, client_id: int, used: Used) -> str:
    """The sentence of the first cap that nothing is left of, else empty."""
    with scope.agency_scope(agency_id):
        counted = ((cap, used(cap.client_id)) for cap in _caps(kind, agency_id, client_id))
        return next((sentence(cap, amount) for cap, amount in counted if amount >= cap.most), "")


def _caps(kind: CapKind, agency_id: int, client_id: int) -> QuerySet[Cap]:
    """In one order for everybody, so that no two wait for each other."""
    mine = Q(client__isnull=True) | Q(client_id=client_id)
    return Cap.objects.filter(mine, agency_id=agency_id, kind=kind).order_by("pk")


def caps_of(agency_id: int, client_id: int | None) -> dict[str, int]:
    """{kind: most}, of the agency itself where no client is named. From any scope inside the agency."""
    with scope.agency_scope(agency_id):
        return dict(Cap.objects.filter(agency_id=agency_id, client_id=client_id).values_list("kind", "most"))


@transaction.atomic
def set_caps(agency: Agency, client: Client | None, given: Mapping[str, int | None], actor: str, now: datetime) -> bool:
    """`given`: every kind with its most, None for no cap. False: nothing differs. In the agency's scope."""
    Agency.objects.select_for_update().get(pk=agency.pk)
    before = caps_of(agency.pk, client.pk if client else None)
    changed = {kind: [before.get(kind), most] for kind, most in given.items() if before.get(kind) != most}
    for kind, (_old, most) in changed.items():
        whose = {"agency": agency, "client": client, "kind": kind}
        if most is None:
            Cap.objects.filter(**whose).delete()
        else:
            Cap.objects.update_or_create(**whose, defaults={"most": most})
    if changed:
        _note(agency, client, actor, now, changed)
    return bool(changed)


def _note(agency: Agency, client: Client | None, actor: str, now: datetime, changed: Changed) -> None:
    if client is None:
        AuditEvent.append(agency, actor, "caps.change", agency.slug, now, {"changed": changed})
        return
    with scope.client_scope(client.pk, agency.pk):
        AuditEvent.append(client, actor, "caps.change", client.slug, now, {"changed": changed})


def pipelines_of(agency_id: int) -> Used:
    def used(client_id: int | None) -> int:
        rows = Pipeline.objects.filter(agency_id=agency_id)
        return (rows if client_id is None else rows.filter(client_id=client_id)).count()

    return used
