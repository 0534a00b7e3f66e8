"""The shapes in which rows are handed around, laid out as chat: OpenAI, ShareGPT, prompt and completion, Alpaca."""

from collections.abc import Callable
from typing import Any

SPEAKERS = {
    "system": "system",
    "developer": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "assistant": "assistant",
}
# (question, answer) by the names of their fields.
PAIRS = (("prompt", "completion"), ("prompt", "response"), ("question", "answer"), ("instruction", "output"))


def as_known(row: dict[str, Any]) -> dict[str, Any]:
    """The same row with "messages", or "input" and "output"; a row of no known shape comes back as it is."""
    for name, lay_out in SHAPES.items():
        if name in row:
            return lay_out(row)
    for question, answer in PAIRS:
        if question in row and answer in row:
            return _pair(row, question, answer)
    return row


def where(pointer: str, row: dict[str, Any]) -> str:
    """A pointer into the laid-out row as one into the row that was given."""
    if "messages" in row or "conversations" not in row:
        return pointer
    told = pointer.replace("/messages", "/conversations", 1)
    return told.replace("/role", "/from").replace("/content", "/value")


def _openai(row: dict[str, Any]) -> dict[str, Any]:
    messages = row["messages"]
    if not isinstance(messages, list):
        return row
    return row | {"messages": [_message(m) if isinstance(m, dict) else m for m in messages]}


def _message(message: dict[str, Any]) -> dict[str, Any]:
    role, content = message.get("role"), message.get("content")
    if isinstance(content, list) and content and all(_is_text(part) for part in content):
        content = "".join(part["text"] for part in content)
    return message | {"role": "system" if role == "developer" else role, "content": content}


def _is_text(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _sharegpt(row: dict[str, Any]) -> dict[str, Any]:
    said = row["conversations"]
    if not isinstance(said, list):
        return {"messages": said} | _extras(row)
    turns = [_turn(turn) if isinstance(turn, dict) else turn for turn in said]
    return {"messages": _with_system(row, turns)} | _extras(row)


def _turn(turn: dict[str, Any]) -> dict[str, Any]:
    speaker = turn.get("from", turn.get("role"))
    role = SPEAKERS.get(speaker.lower(), speaker) if isinstance(speaker, str) else speaker
    return {"role": role, "content": turn.get("value", turn.get("content"))}


def _pair(row: dict[str, Any], question: str, answer: str) -> dict[str, Any]:
    asked, told = row[question], row[answer]
    if isinstance(asked, list) and isinstance(told, list):  # Conversational: both are lists of messages.
        return _openai({"messages": [*asked, *told]} | _extras(row))
    more = row.get("input")
    if question == "instruction" and isinstance(asked, str) and isinstance(more, str) and more.strip():
        asked = f"{asked}\n\n{more}"
    if not isinstance(asked, str) or not isinstance(told, str):
        return {"input": asked, "output": told} | _extras(row)
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": told}]
    return {"messages": _with_system(row, turns)} | _extras(row)


def _with_system(row: dict[str, Any], turns: list[Any]) -> list[Any]:
    system = row.get("system")
    is_there = any(isinstance(turn, dict) and turn.get("role") == "system" for turn in turns)
    if not isinstance(system, str) or not system.strip() or is_there:
        return turns
    return [{"role": "system", "content": system}, *turns]


def _extras(row: dict[str, Any]) -> dict[str, Any]:
    return {"label": row["label"]} if "label" in row else {}


SHAPES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"messages": _openai, "conversations": _sharegpt}
