"""What a job needs and what a machine has: which of them fit, and what is lacking otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Weights are held once as they are and once as floats of 32 bits; gradients, the optimiser's state and activations
# of a LoRA are small beside them. On the careful side, as nobody has measured the model at hand.
TRAIN_FOR_EACH_BYTE = 4.0
MERGE_FOR_EACH_BYTE = 3.0
LOAD_FOR_EACH_BYTE = 1.3
ANYWAY_BYTES = 2**30
# Kinds of jobs whose result nobody here can check by looking at it.
TRUSTED_ONLY = frozenset({"evaluate"})


@dataclass(frozen=True)
class Needs:
    """Of one job."""

    queue: str
    gpu: bool = False
    cores: int = 1
    memory_bytes: int = 0
    trusted: bool = False


@dataclass(frozen=True)
class Has:
    """Of one machine: `queues` and `is_trusted` by its agency's word, the rest by its own."""

    queues: tuple[str, ...]
    is_trusted: bool
    gpus: int = 0
    cores: int = 1
    memory_bytes: int = 0

    @classmethod
    def parse(cls, queues: list[str], is_trusted: bool, said: Mapping[str, Any]) -> Has:
        """What a machine says of itself may be anything: a number that is none counts as nothing."""
        return cls(
            queues=tuple(queues),
            is_trusted=is_trusted,
            gpus=len(said["gpus"]) if isinstance(said.get("gpus"), list) else 0,
            cores=_whole(said.get("cores")),
            memory_bytes=_whole(said.get("memory_bytes")),
        )


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def memory_of(kind: str, weights_bytes: int) -> int:
    """Bytes that a job of this kind is taken to need for models of so many bytes."""
    factors = {"train": TRAIN_FOR_EACH_BYTE, "build": MERGE_FOR_EACH_BYTE}
    return ANYWAY_BYTES + round(weights_bytes * factors.get(kind, LOAD_FOR_EACH_BYTE))


def lacking(needs: Needs, has: Has) -> list[str]:
    """What the machine lacks for the job, as stable words; empty: it fits."""
    faults = {
        f"queue {needs.queue}": needs.queue not in has.queues,
        "trust": needs.trusted and not has.is_trusted,
        "GPU": needs.gpu and not has.gpus,
        "cores": has.cores < needs.cores,
        "memory": has.memory_bytes < needs.memory_bytes,
    }
    return [word for word, is_lacking in faults.items() if is_lacking]
