"""From a notice to the channels that want its kind: sent at least once, tried again with growing pauses, logged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from pipelines import notifiers
from pipelines.domain.telling.pacing import is_given_up, next_try
from pipelines.models import Delivery, DeliveryStatus, Notice
from pipelines.notifiers import SendFailed
from pipelines.notifiers.events import Event, Target
from tenants import scope
from tenants.crypto.sealing import Unreadable
from tenants.models import AuditEvent, Channel
from tenants.people.owners import owners_of
from tenants.telling.channels import switch_channel

ACTOR = "outbox"
Describer = Callable[[Notice], Event]
_describers: list[Describer] = []


def register_describer(describer: Describer) -> None:
    """Called once at start by the shell. The last registration counts."""
    _describers[:] = [describer]


# What ends a trouble goes to the channels that the trouble went to; how a rollback stands, to those told of rollbacks.
FOLLOWS = {"mail_up": "mail_down", "decided": "held", "rollback_stuck": "rolled_back"}


def spread(notice: Notice, now: datetime) -> None:
    """A delivery for each channel that wants the notice's kind, once; in the transaction that wrote the notice.

    Where the pipeline's settings name the channels of a kind, those are told, whatever they take otherwise.
    """
    kind = notice.detail["of"] if notice.kind == "recovered" else notice.kind
    kind = FOLLOWS.get(kind, kind)
    named = _named(notice, kind)
    with scope.agency_scope(notice.agency_id):
        found = Channel.objects.filter(Q(client=None) | Q(client_id=notice.client_id), disabled_at=None)
        wanted = [row for row in found if (kind in row.kinds if named is None else row.name in named)]
        known = set(Delivery.objects.filter(notice=notice).values_list("channel_id", flat=True)) if wanted else set()
        for channel in wanted:
            if channel.pk not in known:
                _new(notice, channel, now).save()


def _named(notice: Notice, kind: str) -> tuple[str, ...] | None:
    """By the settings that the run pinned, else by those of today."""
    revision = notice.run.revision if notice.run else notice.pipeline.revision
    return revision.settings.channels_of(kind) if revision else None


def _new(notice: Notice, channel: Channel, now: datetime) -> Delivery:
    fields = {"message_id": f"msg_{uuid4().hex}", "created_at": now, "due_at": now}
    return Delivery.of(notice, notice=notice, channel=channel, **fields)


def send_due(delivery_id: int, now: datetime, describer: Describer | None = None) -> bool:
    """Claims a due delivery and posts it; expects its client's scope. True when this call sent it.

    As with mails, the claim moves `due_at` to the next try before anything is made or sent.
    """
    owner = Delivery.objects.filter(pk=delivery_id).values_list("agency_id", flat=True).first()
    if owner is None:
        return False
    with scope.agency_scope(owner):  # A channel of the whole agency is no row of the client's.
        row = _claim(delivery_id, now)
        return row is not None and _try(row, now, describer or _describers[0])


def _claim(delivery_id: int, now: datetime) -> Delivery | None:
    found = Delivery.objects.select_related("channel", "notice__pipeline", "notice__client", "notice__run")
    row = found.filter(pk=delivery_id, due_at__lte=now).first()
    if row is None:
        return None
    attempts = row.attempts + 1
    mine = Delivery.objects.filter(pk=row.pk, attempts=row.attempts, due_at=row.due_at)
    if not row.channel.is_on:
        mine.update(status=DeliveryStatus.DROPPED, due_at=None, error="The channel is switched off.")
        return None
    if not mine.update(attempts=attempts, due_at=next_try(attempts, now, row.message_id), tried_at=now):
        return None
    row.attempts = attempts
    return row


def _try(row: Delivery, now: datetime, describer: Describer) -> bool:
    if not row.event:
        event = replace(describer(row.notice), message_id=row.message_id, at=now.astimezone(UTC))
        row.event = event.kept()
        Delivery.objects.filter(pk=row.pk).update(event=row.event)
    try:
        code = post(row.channel, Event.of(row.event), now)
    except SendFailed as refused:
        _refused(row, refused, now)
        return False
    done = {"status": DeliveryStatus.SENT, "sent_at": now, "due_at": None, "error": "", "status_code": code}
    Delivery.objects.filter(pk=row.pk).update(**done)
    Channel.objects.filter(pk=row.channel_id, failing_since__isnull=False).update(failing_since=None)
    return True


def post(channel: Channel, event: Event, now: datetime) -> int:
    """Tells a channel at once, whether it is switched on or not. Gives the answer's status; raises SendFailed."""
    try:
        secret = channel.secret()
        target = Target(secret["url"], secret["key"], channel.signing(now), settings.ALLOW_PRIVATE_HOSTS)
    except Unreadable as shut:
        raise SendFailed(str(shut)) from shut
    return notifiers.load_poster(channel.kind).post(event, target)


@transaction.atomic
def _refused(row: Delivery, refused: SendFailed, now: datetime) -> None:
    """Noted; the channel is switched off when it says that it is gone, or took nothing for days."""
    again_at = next_try(row.attempts, now, row.message_id, refused.wish_s)
    status = DeliveryStatus.WAITING if again_at else DeliveryStatus.FAILED
    fields = {"status": status, "due_at": again_at, "error": str(refused)[:500], "status_code": refused.code}
    Delivery.objects.filter(pk=row.pk).update(**fields)
    Channel.objects.filter(pk=row.channel_id, failing_since=None).update(failing_since=now)
    channel = Channel.objects.get(pk=row.channel_id)
    if (refused.is_gone or is_given_up(channel.failing_since, now)) and switch_channel(
        channel, False, ACTOR, now, str(refused)
    ):
        _tell_owners(row, channel, str(refused), now)


def _tell_owners(row: Delivery, channel: Channel, reason: str, now: datetime) -> None:
    """By mail, and by no channel: the one that would tell it may be next to it."""
    key = f"channel_off:{channel.pk}:{int(now.timestamp())}"
    fields = {"kind": "channel_off", "key": key, "detail": {"channel": channel.name, "reason": reason}}
    owners = owners_of(row.agency_id)
    Notice.of(
        row.notice,
        pipeline_id=row.notice.pipeline_id,
        recipients=owners,
        created_at=now,
        due_at=now if owners else None,
        **fields,
    ).save()


@transaction.atomic
def replay(row: Delivery, actor: str, now: datetime) -> Delivery:
    """The same message once more, under the same id, asked for by a person; inside the agency's scope."""
    again = Delivery.of(row, notice_id=row.notice_id, channel_id=row.channel_id, asked_by=actor, event=row.event)
    again.message_id, again.created_at, again.due_at = row.message_id, now, now
    again.save()
    detail = {"channel": row.channel.name, "message": row.message_id}
    AuditEvent.append(row.notice.client, actor, "delivery.replay", row.channel.name, now, detail)
    return again
