"""PagerDuty's Events API v2, which other on-call services take too: an alarm is opened and closed by one key.

https://developer.pagerduty.com/docs/events-api-v2-overview
"""

from __future__ import annotations

import json
from typing import Any

from pipelines.notifiers.events import Event, Target
from pipelines.notifiers.posting import post

SUMMARY_CHARS, KEY_CHARS = 1024, 255
SEVERITY = {"bad": "error", "ask": "warning", "good": "info"}


class PagerDutyPoster:
    """`target.key` is the integration's routing key. The service answers 202."""

    def post(self, event: Event, target: Target) -> int:
        return post(target, json.dumps(message(event, target.key)).encode(), {})


def message(event: Event, routing_key: str) -> dict[str, Any]:
    """What ends a trouble resolves the alarm; a notice without a trouble is an alarm of its own."""
    action = "resolve" if event.is_over else "trigger"
    about = event.incident or event.message_id
    said = {"safe": event.safe, "headline": event.headline, "reasons": list(event.reasons), "advice": event.advice}
    return {
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": f"retune/{event.client}/{event.pipeline}/{about}"[:KEY_CHARS],
        "client": "Retune",
        "client_url": event.url,
        "links": [{"href": event.url, "text": "Open in Retune"}],
        "payload": {
            "summary": event.subject[:SUMMARY_CHARS],
            "source": f"{event.client}/{event.pipeline}",
            "severity": SEVERITY.get(event.tone, "warning"),
            "timestamp": event.at.isoformat(),
            "component": event.pipeline,
            "group": event.client,
            "class": event.kind,
            "custom_details": said,
        },
    }
