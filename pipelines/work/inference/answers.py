"""Answers of a model to many cases: the engine's seam, and the log from which a killed evaluation goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from pipelines.work.inference.cases import Case
from pipelines.work.inference.manner import PLAIN, Manner
from pipelines.work.inference.model import Answer, LocalModel
from pipelines.work.report import WorkError


class Engine(Protocol):
    """Answers cases greedily; yields (case, answer) as each is done, in any order."""

    def answers(self, cases: Sequence[Case]) -> Iterator[tuple[Case, Answer]]: ...


class LoopEngine:
    """One case after the other in one sequence, reusing the prefix that neighbours share."""

    def __init__(self, model: LocalModel, manner: Manner = PLAIN) -> None:
        self._model, self._manner = model, manner

    def answers(self, cases: Sequence[Case]) -> Iterator[tuple[Case, Answer]]:
        for case in cases:
            yield case, self.answer(case)

    def answer(self, case: Case) -> Answer:
        """One answer; an error names its case."""
        try:
            return self._model.answer(case.messages, case.max_tokens, self._manner)
        except WorkError as problem:
            raise WorkError(f"Case {case.id}: {problem}", permanent=problem.permanent) from problem


@dataclass(frozen=True)
class Key:
    """Which answer: of which arm ("candidate" or "production"), to which case of which set, in which run (1 or 2)."""

    set: str
    case: str
    arm: str
    run: int


class AnswerLog:
    """Answers on disk, one line each, appended as they come. Opening it again finds what is whole.

    The first line names the evaluation; a log of another one is begun anew.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.found: dict[Key, dict[str, Any]] = {}
        lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []  # the last piece is empty or torn
        whole = lines if lines and json.loads(lines[0]) == {"evaluation": fingerprint} else []
        if not whole:
            whole = [json.dumps({"evaluation": fingerprint}).encode()]
        for line in whole[1:]:
            self._remember(json.loads(line))
        self._rewrite(path, whole)
        self._file = path.open("a", encoding="utf-8")

    def add(self, key: Key, answer: Answer) -> None:
        line = {**asdict(key), "answer": answer.text, "finish": answer.finish, "ms": round(answer.milliseconds, 3)}
        self._remember(line)
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _remember(self, line: dict[str, Any]) -> None:
        self.found[Key(line["set"], line["case"], line["arm"], line["run"])] = line

    @staticmethod
    def _rewrite(path: Path, lines: list[bytes]) -> None:
        """Cut a torn last line off, so that the next answer does not continue it."""
        temporary = path.with_name(f".{path.name}")
        temporary.write_bytes(b"".join(line + b"\n" for line in lines))
        os.replace(temporary, path)
