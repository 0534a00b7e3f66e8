"""Answers and times by the client's own host: the same cases through its adapter, on the names that it serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pipelines.hosts import Answer as HostAnswer
from pipelines.hosts import Host, HostError, open_host
from pipelines.outbound import Access
from pipelines.work.inference.answers import Engine
from pipelines.work.inference.cases import Case
from pipelines.work.inference.latency import Ask
from pipelines.work.inference.manner import Manner
from pipelines.work.inference.model import Answer
from pipelines.work.report import WorkError

TIMEOUT_S = 600.0
SEED = 1


class OnHost:
    """`spec`: {kind, url, allow_private, names: {arm: model name}, digests: {arm: manifest digest}, label}.

    `secret`: the fields of pipelines.outbound.Access, where the host wants any.
    """

    def __init__(
        self, spec: Mapping[str, Any], manners: Mapping[str, Manner], secret: Mapping[str, str] | None = None
    ) -> None:
        self.arms = tuple(spec["names"])
        self.label: str = spec["label"]
        self.digests: Mapping[str, str] = spec["digests"]
        self._names, self._manners = spec["names"], manners
        self._host = open_host(spec["kind"], spec["url"], Access.of(secret), TIMEOUT_S, spec["allow_private"])

    @contextmanager
    def engine(self, arm: str, turn: int) -> Iterator[Engine]:
        yield HostEngine(self._host, self._names[arm], self._manners[arm])

    @contextmanager
    def clocks(self, arms: Sequence[str]) -> Iterator[list[Ask]]:
        for arm in arms:
            self._host.preload(self._names[arm])
        yield [HostEngine(self._host, self._names[arm], self._manners[arm]).milliseconds for arm in arms]


class HostEngine:
    """One case after the other. The host gives the baked system prompt, template and parameters by itself."""

    def __init__(self, host: Host, name: str, manner: Manner) -> None:
        self._host, self._name, self._manner = host, name, manner

    def answers(self, cases: Sequence[Case]) -> Iterator[tuple[Case, Answer]]:
        for case in cases:
            said = self._chat(case)
            finish = "length" if said.done_reason == "length" else "stop"
            yield case, Answer(said.text, 0, 0, finish, _milliseconds(said))

    def milliseconds(self, case: Case) -> float:
        return _milliseconds(self._chat(case))

    def _chat(self, case: Case) -> HostAnswer:
        options: dict[str, Any] = {"seed": SEED, "num_predict": self._manner.room(case.max_tokens)}
        if not self._manner.samples:
            options["temperature"] = 0
        try:
            return self._host.chat(self._name, self._manner.messages(case.messages), options, self._manner.schema)
        except HostError as problem:
            raise WorkError(f"Case {case.id}: {problem}", permanent=problem.permanent) from problem


def _milliseconds(said: HostAnswer) -> float:
    """Loading excluded: it is counted when a version is placed."""
    return max(0.0, said.seconds - said.load_seconds) * 1e3
