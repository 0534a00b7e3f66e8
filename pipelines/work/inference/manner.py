"""How a version is asked: the system prompt baked into it, its stop texts, its length, the format that is enforced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.domain.prompting import with_system
from pipelines.work.chat_template import Messages


@dataclass(frozen=True)
class Manner:
    """Of one arm. `system` and `replaces`: see pipelines.domain.prompting.

    `schema`: of the JSON that serving enforces. `samples`: the version has a temperature of its own, which only a host
    applies.
    """

    system: str = ""
    replaces: bool = False
    stop: tuple[str, ...] = ()
    most_tokens: int | None = None
    schema: Mapping[str, Any] | None = None
    samples: bool = False

    @classmethod
    def parse(cls, value: Mapping[str, Any] | None) -> Manner:
        """{system?, replaces?, stop?, most_tokens?, schema?, samples?} of a spec."""
        given = dict(value or {})
        return cls(**given | {"stop": tuple(given.get("stop", ()))})

    def messages(self, asked: Messages) -> Messages:
        """The conversation as the model is given it."""
        return with_system(asked, self.system, self.replaces)

    def room(self, max_tokens: int) -> int:
        return min(max_tokens, self.most_tokens) if self.most_tokens else max_tokens


PLAIN = Manner()
