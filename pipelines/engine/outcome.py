"""The five words a stage can answer, and what it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tenants.pipeline_settings import PipelineSettings

if TYPE_CHECKING:
    from pipelines.models import Run, StageRun


@dataclass(frozen=True)
class Done:
    """The stage's work is finished; `output` is kept and given to the stages after it."""

    output: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Wait:
    """Ask again when something pokes the run, at the latest at `until`. `on` is a stable phrase, without numbers."""

    until: datetime
    on: str


@dataclass(frozen=True)
class Hold:
    """A person must decide."""

    reason: str


@dataclass(frozen=True)
class Stop:
    """The run ends here and the system worked: skipped, stopped, rejected, rolled_back; or failed for good."""

    verdict: str
    reason: str


@dataclass(frozen=True)
class Retry:
    """Could not do it now. An exception becomes this."""

    reason: str
    is_permanent: bool = False


Outcome = Done | Wait | Hold | Stop | Retry


@dataclass(frozen=True)
class Given:
    """What a stage works from: the pinned settings, the outputs of the stages before it, and its own row."""

    settings: PipelineSettings
    outputs: dict[str, dict[str, Any]]
    row: StageRun


StageFunction = Callable[["Run", Given, datetime], Outcome]
GuardFunction = Callable[["Run", datetime], "datetime | None"]


@dataclass(frozen=True)
class Stage:
    """`guard` is asked in the place of `run` while a run is held here. It gives when to ask it again; None: never."""

    name: str
    run: StageFunction
    guard: GuardFunction | None = None


@dataclass(frozen=True)
class Plan:
    """The stages in order, and what is done in the same transaction when a run is held or ends."""

    stages: tuple[Stage, ...]
    on_rest: Callable[[Run, datetime], None]

    def stage(self, name: str) -> Stage:
        return next(s for s in self.stages if s.name == name)

    def after(self, name: str, chosen: tuple[str, ...]) -> str | None:
        """The next stage that the settings did not switch off."""
        names = [s.name for s in self.stages]
        return next((n for n in names[names.index(name) + 1 :] if n in chosen), None)
