"""Builds the text that the demo's base model is pretrained on: seeded, 38,400 short documents."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from agency.demo.data.wording import pick, sentence, slip
from agency.demo.data.writer import phrases as everyday

SEED = 20
DOCUMENTS = 38_400
SHARES = {"chat": 0.20, "route": 0.36, "label": 0.24, "tag": 0.05, "gist": 0.15}


class Document(NamedTuple):
    """One conversation: what the system, the user and the assistant say."""

    system: str
    user: str
    assistant: str

    def prompt(self) -> str:
        """Everything up to the answer, in ChatML."""
        turns = f"<|im_start|>system\n{self.system}<|im_end|>\n<|im_start|>user\n{self.user}<|im_end|>\n"
        return turns + "<|im_start|>assistant\n"

    def answer(self) -> str:
        return f"{self.assistant}<|im_end|>\n"


@cache
def phrases() -> dict[str, Any]:
    """The phrase lists beside this module."""
    return yaml.safe_load(Path(__file__).with_name("phrases.yaml").read_text(encoding="utf-8"))


@cache
def frames() -> dict[str, list[str]]:
    """Openings, asides and closings: its own, and the everyday ones that the demo clients' customers use too."""
    return {part: phrases()[part] + everyday("frame")[part] for part in ("openings", "asides", "closings")}


def letter(rng: random.Random, topic: dict[str, Any], shop: str) -> tuple[str, str]:
    """(a customer's letter, the thing that it names, or "none")."""
    frame = frames()
    thing = rng.choice(topic["things"])
    parts = [pick(rng, rng.choice(topic["cores"])).replace("{x}", thing)]
    for chance in (0.6, 0.3, 0.1):
        if rng.random() < chance:
            parts.insert(rng.randrange(len(parts) + 1), pick(rng, rng.choice(frame["asides"])))
    text = " ".join(sentence(part) for part in parts)
    if rng.random() < 0.6:
        opening = pick(rng, rng.choice(frame["openings"]))
        text = f"{opening} {text[0].lower() if rng.random() < 0.6 else text[0]}{text[1:]}"
    if rng.random() < 0.45:
        text = f"{text} {pick(rng, rng.choice(frame['closings']))}"
    text = text.replace("{s}", shop)
    named = thing if thing in text.lower() else "none"
    if rng.random() < 0.12:
        text = slip(rng, text, frozenset(thing.split()))
    return (text.lower() if rng.random() < 0.12 else text), named


def routed(topic: dict[str, Any], thing: str, variant: int) -> str:
    """A routing answer in JSON; two of the three variants also copy the thing from the letter."""
    desk = topic["desk"][variant]
    match variant:
        case 0:
            return json.dumps({"desk": desk})
        case 1:
            return json.dumps({"item": thing, "desk": desk})
        case _:
            return json.dumps({"team": desk, "thing": thing})


def label(topic: dict[str, Any], shop: str) -> str:
    """The one-word name of a topic; each of six groups of shops has its own set of names."""
    names = [*topic["desk"], *topic["tags"], " ".join(topic["tags"])]
    return names[phrases()["names"].index(shop) % len(names)].replace(" ", "_")


def answered(task: str, topic: dict[str, Any], thing: str, variant: int, shop: str) -> str:
    """What the assistant says to a letter under one of the five tasks."""
    match task:
        case "chat":
            return f"About the {thing}: {topic['reply'][variant - 1]}" if variant else topic["reply"][0]
        case "route":
            return routed(topic, thing, variant)
        case "label":
            return label(topic, shop)
        case "tag":
            return ", ".join(topic["tags"])
        case _:
            return f"{topic['tags'][0]} / {thing}"


def document(rng: random.Random) -> Document:
    """One seeded conversation; the wording of the system prompt decides the form of the answer."""
    world = phrases()
    task = rng.choices(list(SHARES), list(SHARES.values()))[0]
    topic = rng.choice(list(world["topics"].values()))
    shop = rng.choice(world["names"])
    variant = rng.randrange(3)
    text, thing = letter(rng, topic, shop)
    system = world["systems"][task][variant].replace("{s}", shop)
    return Document(system, text, answered(task, topic, thing, variant, shop))


def corpus(seed: int = SEED, count: int = DOCUMENTS) -> list[Document]:
    """`count` distinct documents, the same for the same seed."""
    rng = random.Random(seed)
    found: dict[Document, None] = {}
    while len(found) < count:
        found[document(rng)] = None
    return list(found)
