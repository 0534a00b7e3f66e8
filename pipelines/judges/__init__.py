"""Judge models: endpoints that are asked which of two answers is better, and a visible list of their kinds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

__all__ = ["JUDGES", "Endpoint", "Judge", "JudgeDown", "Reply", "open_judge"]

JUDGES = {"ollama": "pipelines.judges.endpoints:OllamaJudge", "openai": "pipelines.judges.endpoints:OpenAiJudge"}
Messages = Sequence[Mapping[str, str]]


class JudgeDown(Exception):
    """The endpoint did not answer in time, or not in a way that can be read."""


@dataclass(frozen=True)
class Endpoint:
    """Where a judge is asked; `key` is empty where it wants none. `allow_private`: as pipelines.outbound takes it."""

    url: str
    model: str
    key: str = ""
    timeout_s: float = 60.0
    allow_private: bool = False


@dataclass(frozen=True)
class Reply:
    """What the model said, and which one it says it is."""

    text: str
    model: str


class Judge(Protocol):
    """Greedy answers of one model; a reply is asked to fit `schema` where the endpoint can hold it to one."""

    endpoint: Endpoint

    def version(self) -> str:
        """What tells this model from one of the same name: a digest where the endpoint gives one. Raises JudgeDown."""

    def ask(self, messages: Messages, schema: Mapping[str, Any]) -> Reply:
        """Raises JudgeDown; a time-out is one."""

    def close(self) -> None: ...


def open_judge(kind: str, endpoint: Endpoint) -> Judge:
    if kind not in JUDGES:
        raise ValueError(f"There is no kind of judge {kind!r}. Known kinds: {', '.join(sorted(JUDGES))}.")
    module, _, name = JUDGES[kind].partition(":")
    return cast(Judge, getattr(import_module(module), name)(endpoint))
