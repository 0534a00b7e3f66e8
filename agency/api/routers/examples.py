"""Examples in: NDJSON uploads, and what became of them."""

from __future__ import annotations

from typing import Annotated, Any

from django.db import IntegrityError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Header, Router, Status
from ninja.errors import HttpError

from agency.api.auth import Key, actor_of
from agency.api.lookup import key_in, one, open_pipeline
from agency.api.ndjson import body_lines
from agency.api.schemas import BatchDetail, BatchOut, Refusal
from pipelines.actions import add_examples
from pipelines.models import Batch, ExampleState

router = Router(tags=["examples"], auth=Key("examples"))

SHOWN_ROWS = 100
NDJSON_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-ndjson": {
                "schema": {"type": "string", "format": "binary"},
                "example": '{"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]}\n',
            }
        },
    }
}
Token = Annotated[str, Header(alias="Idempotency-Key", min_length=1, max_length=100)]


ANSWERS = {201: BatchOut, 200: BatchOut, 400: Refusal, 409: Refusal, 415: Refusal, 422: Refusal}


@router.post("/pipelines/{slug}/examples", response=ANSWERS, openapi_extra=NDJSON_BODY)
def upload_examples(request: HttpRequest, slug: str, idempotency_key: Token) -> Status[Batch]:
    """Add examples, one JSON object per line.

    Malformed lines are quarantined with their line number, rule and JSON pointer; the others are kept. The same
    Idempotency-Key answers with the same batch (200), and goes on with an upload that was cut off.
    """
    pipeline = open_pipeline(request, slug)
    done = Batch.objects.filter(pipeline=pipeline, token=idempotency_key, is_complete=True).first()
    if done is not None:
        return Status(200, done)
    lines, actor = body_lines(request), actor_of(key_in(request))
    try:
        batch = add_examples(pipeline, lines, token=idempotency_key, actor=actor, now=timezone.now(), source="api")
    except IntegrityError as error:  # `line_once_per_batch`: the same line came in from elsewhere meanwhile.
        raise HttpError(409, _("Another upload with this Idempotency-Key is under way. Wait for its end.")) from error
    return Status(201, batch)


@router.get("/pipelines/{slug}/batches/{int:batch_id}", response=BatchDetail)
def read_batch(request: HttpRequest, slug: str, batch_id: int) -> dict[str, Any]:
    """One upload with its first quarantined rows."""
    batch = one(Batch.objects.filter(pipeline=open_pipeline(request, slug)), pk=batch_id)
    quarantine = list(batch.examples.filter(state=ExampleState.QUARANTINED)[:SHOWN_ROWS])
    return BatchOut.from_orm(batch).dict() | {"quarantine": quarantine}
