"""One answer as it is written: which token comes next, and when it ends. The loop and the batches share it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.work.inference.decoding.grammar import Grammar
from pipelines.work.inference.vocabulary import Vocabulary

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Ends:
    """What ends an answer beside the model's own end token: text that is cut off with all after it, and a length."""

    most_tokens: int
    stop: tuple[str, ...] = ()


class Writing:
    """Takes the logits after each token and gives the next one, greedily; None once the answer has ended."""

    def __init__(self, vocabulary: Vocabulary, ends: Ends, grammar: Grammar | None = None) -> None:
        self.tokens: list[int] = []
        self.finish = ""
        self._vocabulary, self._ends, self._grammar = vocabulary, ends, grammar

    @property
    def room(self) -> int:
        return self._ends.most_tokens - len(self.tokens)

    @property
    def text(self) -> str:
        """Without the stop text and what follows it."""
        found = self._vocabulary.text(self.tokens)
        return found[: min((at for stop in self._ends.stop if (at := found.find(stop)) >= 0), default=len(found))]

    def take(self, logits: Logits) -> int | None:
        token = self._choose(logits)
        if self._vocabulary.ends(token):
            self.finish = "stop"
            return None
        self.tokens.append(token)
        self.finish = "stop" if self._is_complete() else "" if self.room > 0 else "length"
        return None if self.finish else token

    def _choose(self, logits: Logits) -> int:
        best = int(logits.argmax())
        if self._grammar is not None and not self._grammar.allows(best, float(logits[best])):
            best = self._grammar.best(logits)
        if self._grammar is not None and not self._vocabulary.ends(best):
            self._grammar.accept(best)
        return best

    def _is_complete(self) -> bool:
        if self._ends.stop and len(self.text) < len(self._vocabulary.text(self.tokens)):
            return True
        return self._grammar is not None and self._grammar.is_complete(self._vocabulary.text(self.tokens))
