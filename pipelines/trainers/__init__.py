"""Trainers: turn a base model and a dataset into an adapter. One file per kind, behind one Protocol."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, Self, cast

__all__ = [
    "HERE",
    "TRAINERS",
    "EarlyStopping",
    "GoesOn",
    "Order",
    "Progress",
    "Recipe",
    "Trained",
    "Trainer",
    "TrainerError",
    "figures",
    "is_figure",
    "load",
]

TRAINERS: dict[str, str] = {
    "peft": "pipelines.trainers.peft_local:PeftTrainer",
    "fake": "pipelines.trainers.fake:FakeTrainer",
    "import": "pipelines.trainers.imported:ImportTrainer",
    "remote": "pipelines.trainers.remote:RemoteTrainer",
    "command": "pipelines.trainers.command:CommandTrainer",
}

# What a recipe may name: these as they are; the others with whose seat or which command, as remote:studio.
HERE = ("peft", "fake")

SEVEN_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

# (share done in [0, 1], note, numbers)
Progress = Callable[[float, str, Mapping[str, float | int | str]], None]


def is_figure(value: Any) -> bool:
    """Whether it is a number that JSON has: a loss that diverged is none."""
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        return False


def figures(told: Mapping[Any, Any]) -> dict[str, float | int | str]:
    """What somebody else's program or service tells beside its progress, as far as it is numbers."""
    return {str(name)[:40]: value for name, value in told.items() if is_figure(value)}


class TrainerError(Exception):
    """A training that cannot go on; the sentence says what to do. `permanent`: another attempt cannot help."""

    def __init__(self, sentence: str, *, permanent: bool) -> None:
        super().__init__(sentence)
        self.permanent = permanent


class GoesOn(Exception):
    """A training that is under way elsewhere: carry out the same order again in `after_s`. No failure.

    `error`: there was no answer this time.
    """

    def __init__(
        self, after_s: float, note: str, share: float, numbers: Mapping[str, float | int | str], error: str = ""
    ) -> None:
        super().__init__(note)
        self.after_s, self.note, self.share, self.numbers, self.error = after_s, note, share, dict(numbers), error


@dataclass(frozen=True)
class EarlyStopping:
    """Stop after `patience` epochs whose held-back loss improved by less than `min_delta`; the best is kept."""

    patience: int = 1
    min_delta: float = 0.0
    share: float = 0.1


@dataclass(frozen=True)
class Recipe:
    """The locked recipe of a run. Unknown names or values outside their range are a permanent TrainerError."""

    lora_rank: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    learning_rate: float = 2e-3
    schedule: str = "linear"
    warmup_share: float = 0.03
    epochs: int = 3
    batch_size: int = 8
    seed: int = 0
    max_tokens: int = 512
    precision: str = "auto"
    targets: tuple[str, ...] = SEVEN_PROJECTIONS
    early_stopping: EarlyStopping | None = None

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """The recipe of a settings revision's mapping; names that it lacks take their defaults."""
        known = {one.name for one in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise TrainerError(f"The recipe has unknown settings: {', '.join(unknown)}.", permanent=True)
        stopping = values.get("early_stopping")
        given = {**values, "early_stopping": EarlyStopping(**stopping) if stopping else None}
        return cls(**{**given, "targets": tuple(values.get("targets") or SEVEN_PROJECTIONS)})

    def __post_init__(self) -> None:
        allowed = {
            "lora_rank": 1 <= self.lora_rank <= 1024,
            "lora_alpha": self.lora_alpha >= 1,
            "lora_dropout": 0 <= self.lora_dropout < 1,
            "learning_rate": 0 < self.learning_rate <= 1,
            "schedule": self.schedule in ("linear", "cosine", "constant"),
            "warmup_share": 0 <= self.warmup_share < 1,
            "epochs": 1 <= self.epochs <= 1000,
            "batch_size": 1 <= self.batch_size <= 4096,
            "max_tokens": 8 <= self.max_tokens <= 2**20,
            "precision": self.precision in ("auto", "fp32", "bf16"),
        }
        if refused := [name for name, fits in allowed.items() if not fits]:
            named = ", ".join(f"{name} = {getattr(self, name)!r}" for name in refused)
            raise TrainerError(f"The recipe cannot work: {named} is out of range.", permanent=True)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Order:
    """One training: what from, what with, where to. `scratch` outlives an attempt: checkpoints lie there.

    base: a folder in Hugging Face layout. dataset: JSON lines {"messages": [...]}, each ending with the assistant; what
    was trained elsewhere already has none, there it is the bundle.
    """

    base: Path
    dataset: Path
    recipe: Recipe
    scratch: Path
    out: Path
    checkpoint_every_s: float = 30.0
    checkpoint_every_steps: int | None = None
    # What a trainer must know beside the training: where its service is, which command it runs.
    site: Mapping[str, Any] = field(default_factory=dict)
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Trained:
    """What a training did, for the version card. `seconds` adds up all attempts; None is not known.

    `kind`: what lies in `adapter`: an adapter, a merged model or a GGUF. `origin`: where it came from, if not
    from here.
    """

    adapter: Path
    trainer: str
    steps: int | None
    epochs: float | None
    examples: int | None
    left_out: int
    first_loss: float | None
    last_loss: float | None
    held_out_loss: float | None
    stopped_early: bool
    trained_parameters: int | None
    seconds: float
    device: str
    precision: str
    resumed_at_step: int
    kind: str = "adapter"
    origin: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "adapter": str(self.adapter)}


class Trainer(Protocol):
    """Leaves an adapter (or what `Trained.kind` says) in `order.out`, its completion marker written last.

    The same order resumes after a kill. A training elsewhere may raise GoesOn instead of waiting.
    """

    def train(self, order: Order, progress: Progress) -> Trained: ...


def load(name: str) -> Trainer:
    """The trainer called `name`; an unknown name is a permanent TrainerError that lists the known ones."""
    if name not in TRAINERS:
        raise TrainerError(f"There is no trainer {name!r}. Known: {', '.join(TRAINERS)}.", permanent=True)
    module, _, attribute = TRAINERS[name].partition(":")
    return cast(Trainer, getattr(import_module(module), attribute)())
