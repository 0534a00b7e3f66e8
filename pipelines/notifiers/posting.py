"""One message by HTTP through the door: taken, refused for now, or refused for good."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2

from pipelines.notifiers import SendFailed
from pipelines.notifiers.events import Target
from pipelines.outbound import OutboundRefused
from pipelines.outbound.client import open_client, reason_of

GONE = 410
SHOWN = 200


def post(target: Target, body: bytes, headers: Mapping[str, str]) -> int:
    """The status, which is 2xx. Raises SendFailed; what it says names no address."""
    sent = {"Content-Type": "application/json", "User-Agent": "Retune", **headers}
    try:
        with open_client(allow_private=target.allow_private, timeout_s=target.timeout_s) as http:
            answer = http.post(target.url, content=body, headers=sent)
    except OutboundRefused as refused:
        raise SendFailed(str(refused)) from refused
    except (httpx2.HTTPError, httpx2.InvalidURL) as fault:
        raise SendFailed(f"The server did not take it: {reason_of(fault)}.") from fault
    if answer.is_success:
        return answer.status_code
    words = f"The server answered {answer.status_code}{_said(answer)}."
    raise SendFailed(words, answer.status_code, _wish_s(answer), is_gone=answer.status_code == GONE)


def _said(answer: httpx2.Response) -> str:
    """The beginning of its answer: Slack and PagerDuty say there what is wrong."""
    text = "".join(char if char.isprintable() else " " for char in answer.text[:SHOWN])
    return f": {' '.join(text.split())}" if text.strip() else ""


def _wish_s(answer: httpx2.Response) -> float:
    """Retry-After (RFC 9110, 10.2.3): seconds, or a date."""
    said = answer.headers.get("Retry-After", "")
    if said.isdigit():
        return float(said[:9])
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
