"""An incoming webhook as Slack made it, and as Mattermost, Rocket.Chat and Zulip understand it.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

from __future__ import annotations

import json
from typing import Any

from pipelines.notifiers.events import Event, Target
from pipelines.notifiers.posting import post

HEADER_CHARS, SECTION_CHARS = 150, 3000
MARKS = {"good": "✓", "bad": "✗", "ask": "?"}
ZERO_WIDTH = "\u200b"


class SlackPoster:
    """Blocks of plain text for Slack, `text` for those who read nothing else. Slack answers 200 and "ok"."""

    def post(self, event: Event, target: Target) -> int:
        return post(target, json.dumps(message(event)).encode(), {})


def message(event: Event) -> dict[str, Any]:
    said = [event.safe, event.headline, *(f"• {reason}" for reason in event.reasons), event.advice]
    body = "\n".join(line for line in said if line)
    mark = MARKS.get(event.tone, "")
    button = {"type": "button", "text": _plain("Open in Retune", 75), "url": event.url}
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(f"{mark} {event.subject}", HEADER_CHARS)},
        {"type": "section", "text": _plain(body, SECTION_CHARS)},
        {"type": "actions", "elements": [button]},
    ]
    text = escaped("\n".join([f"{mark} {event.subject}", body]))
    return {"text": f"{text[:SECTION_CHARS]}\n{event.url}", "blocks": blocks}


def _plain(text: str, limit: int) -> dict[str, Any]:
    """In `plain_text` Slack reads no marks, no mentions and no links."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return {"type": "plain_text", "text": cut, "emoji": False}


def escaped(text: str) -> str:
    """Slack's three characters, so that `<!channel>` calls nobody; and for servers that read Markdown no link that
    hides its address, no picture, no `@all`."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return plain.replace("](", "] (").replace("@", f"@{ZERO_WIDTH}")
