"""Feedback on one answer of a model."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Status

from agency.api.auth import Key, actor_of
from agency.api.lookup import client_in, key_in
from agency.api.schemas import FeedbackIn, FeedbackOut, Refusal
from pipelines.actions import give_feedback

router = Router(tags=["feedback"], auth=Key("feedback"))


@router.post("/feedback", response={201: FeedbackOut, 409: Refusal})
def send_feedback(request: HttpRequest, given: FeedbackIn) -> Status[dict[str, Any]]:
    """Say whether an answer was good, by the request id that came with it. An id is known after a second."""
    said = given.dict(exclude={"request_id"})
    actor, now = actor_of(key_in(request)), timezone.now()
    row = give_feedback(client_in(request), given.request_id, actor=actor, now=now, **said)
    shown = {"id": row.pk, "request_id": given.request_id, "version": row.exchange.version.label}
    return Status(201, shown | {"is_good": row.is_good, "at": row.at})
