"""From a sighting to a record: what the host's own lines say, and whether the answer has the promised shape.

Answers are hostile text: they are parsed, counted and dropped, never logged, and kept only where the client opted in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from agency.gateway.meter.bodies import KeptBody, kept_body
from agency.gateway.meter.sighting import Arm, Fault, Heard, Sighting
from pipelines.metrics import format_check
from pipelines.metrics.refusal import is_refusal

LOADED_NS = 50_000_000
# A host may report anything; the columns hold 31 bits.
COUNT_LIMIT = 2**31 - 1
LEFT_STATUS = 499
LABEL_CHARS = 2000
LOADS = ("load", "unload")


@dataclass(frozen=True, slots=True)
class Record:
    """One row of Exchange. Latency in ms; `is_bad` is None where there is no answer to judge."""

    client_id: int
    agency_id: int
    pipeline_id: int
    version_id: int
    rollout_id: int | None
    request_id: str
    host: str
    arm: str
    key_hash: str
    at: datetime
    finished_at: datetime
    latency_ms: float
    status: int
    is_error: bool
    is_transport_error: bool
    is_bad: bool | None
    is_after_load: bool
    input_tokens: int
    output_tokens: int
    first_token_ms: float | None = None
    body: KeptBody | None = None


@dataclass(slots=True)
class Reading:
    """What a host's lines said together."""

    texts: list[str] = field(default_factory=list)
    final: dict[str, Any] = field(default_factory=dict)
    has_error: bool = False
    has_tool_calls: bool = False


def read(heard: Heard) -> Reading:
    """Reads NDJSON or a single object; lines that are no JSON objects count as errors only when no final line came."""
    reading = Reading()
    for line in lines_of(heard):
        reading.has_error |= "error" in line
        message = line.get("message")
        text = message.get("content") if isinstance(message, dict) else line.get("response")
        reading.has_tool_calls |= isinstance(message, dict) and bool(message.get("tool_calls"))
        if isinstance(text, str):
            reading.texts.append(text)
        if line.get("done") is True:
            reading.final = line
    return reading


def lines_of(heard: Heard) -> Iterator[dict[str, Any]]:
    body = b"".join(heard.parts) if heard.is_whole else heard.last_line
    for raw in body.split(b"\n"):
        try:
            line = orjson.loads(raw) if raw else None
        except orjson.JSONDecodeError:
            continue
        if isinstance(line, dict):
            yield line


def judge(sighting: Sighting) -> Record:
    """The record of one attempt. An answer without its final line is an error: a stream that ends early has failed."""
    reading = read(sighting.heard)
    is_error = sighting.fault in (Fault.ANSWER, Fault.TRANSPORT)
    if sighting.fault is Fault.NONE and sighting.status == 200:
        is_error = reading.has_error or not reading.final
    is_answered = sighting.fault is Fault.NONE and sighting.status == 200 and not is_error
    entry, final = sighting.entry, reading.final
    input_tokens, output_tokens = tokens(sighting, final)
    return Record(
        client_id=entry.client_id,
        agency_id=entry.agency_id,
        pipeline_id=entry.pipeline_id,
        version_id=sighting.target.version_id,
        # An answer that stood in for the candidate's belongs to no arm of the comparison.
        rollout_id=None if sighting.arm is Arm.FALLBACK else entry.rollout_id,
        request_id=sighting.request_id,
        host=sighting.place.host,
        arm=sighting.arm,
        key_hash=sighting.key_hash,
        at=sighting.at,
        finished_at=sighting.finished_at or sighting.at,
        latency_ms=sighting.latency_ms,
        status=LEFT_STATUS if sighting.fault is Fault.LEFT else sighting.status,
        is_error=is_error,
        is_transport_error=sighting.fault is Fault.TRANSPORT,
        is_bad=is_bad(sighting, reading) if is_answered else None,
        is_after_load=count(final, "load_duration", 2**62) > LOADED_NS,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        first_token_ms=sighting.first_token_ms,
        body=_body(sighting, reading) if is_answered else None,
    )


def _body(sighting: Sighting, reading: Reading) -> KeptBody | None:
    if sighting.asked is None or not sighting.heard.is_whole or reading.final.get("done_reason") in LOADS:
        return None
    return kept_body(sighting.asked, "".join(reading.texts), sighting.entry.bodies)


def is_bad(sighting: Sighting, reading: Reading) -> bool | None:
    """Empty, a refusal, or not of the promised shape. None where nothing can be judged: a load, a tool call."""
    if reading.final.get("done_reason") in LOADS or reading.has_tool_calls or not sighting.heard.is_whole:
        return None
    text = "".join(reading.texts)
    output = sighting.entry.output
    # Stripping a label of its punctuation takes quadratic time: a megabyte of dots must not stop the meter.
    if output.get("kind") == "label" and len(text) > LABEL_CHARS:
        return True
    return not text.strip() or is_refusal(text) or not format_check(output, text)


def tokens(sighting: Sighting, final: dict[str, Any]) -> tuple[int, int]:
    """Of the question and of the answer, as the host counted them.

    Whoever leaves before the host says so has had them all the same: about as many as were asked, and one a line.
    """
    if sighting.fault is Fault.LEFT and not final:
        return min(sighting.asked_tokens, COUNT_LIMIT), min(sighting.heard.lines, COUNT_LIMIT)
    return count(final, "prompt_eval_count"), count(final, "eval_count")


def count(final: dict[str, Any], name: str, limit: int = COUNT_LIMIT) -> int:
    value = final.get(name, 0)
    return max(0, min(value, limit)) if isinstance(value, int) else 0
