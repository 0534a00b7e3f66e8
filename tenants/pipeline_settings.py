"""The settings of one pipeline: what a client decided. Validated here, kept as immutable revisions, pinned by runs."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Annotated, Literal, Self

from dateutil.rrule import rrulestr
from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict, EmailStr, Field, field_validator, model_validator

STAGES = ("trigger", "validate", "finetune", "evaluate", "compare", "deploy", "monitor")
ALWAYS_ON = ("trigger", "finetune", "evaluate", "deploy")
METRICS = ("accuracy", "f1_macro", "exact_match", "json_fields", "rouge1", "rouge2", "rougeL")

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Seconds = Annotated[int, Field(ge=0, le=30 * 86_400)]


class Part(BaseModel):
    """A part of the settings: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Recipe(Part):
    """The locked recipe of a training. Lengths in tokens."""

    base: str = "tiny"
    trainer: str = "peft"
    quantisation: Literal["Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16"] = "Q4_K_M"
    lora_rank: int = Field(16, ge=1, le=256)
    lora_alpha: int = Field(32, ge=1, le=512)
    learning_rate: float = Field(2e-3, gt=0, le=0.1)
    epochs: int = Field(3, ge=1, le=50)
    batch_size: int = Field(8, ge=1, le=256)
    max_tokens: int = Field(256, ge=16, le=131_072)
    seed: int = Field(0, ge=0, le=2**31 - 1)


class OutputFormat(Part):
    """What a good answer looks like, so that the gateway can count bad ones."""

    kind: Literal["text", "label", "json"] = "text"
    labels: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "label" and not self.labels:
            raise ValueError(_("A label format needs its labels."))
        if self.kind == "json" and not self.fields:
            raise ValueError(_("A JSON format needs the names of its fields."))
        return self


class Criteria(Part):
    """How answers are judged. Sets themselves are rows: a kind that has no set has no gate."""

    metrics: tuple[str, ...] = ("accuracy",)
    output: OutputFormat = OutputFormat()
    max_answer_tokens: int = Field(48, ge=1, le=4096)
    context_tokens: int = Field(2048, ge=128, le=1_048_576)
    latency_calls: int = Field(300, ge=100, le=5000)
    latency_rounds: int = Field(3, ge=1, le=3)

    @field_validator("metrics")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(names) - set(METRICS))
        if unknown or not names:
            raise ValueError(
                _("Unknown metric: %(names)s. Known: %(known)s.")
                % {"names": ", ".join(unknown) or "-", "known": ", ".join(METRICS)}
            )
        return names


# Which rules can judge which evidence; a test holds it to the judge's own table (pipelines.domain.gates).
RULES_OF_KIND: dict[str, frozenset[str]] = {
    "task": frozenset({"at_least_production", "max_drop", "min_improvement", "absolute"}),
    "regression": frozenset({"all_pass"}),
    "safety": frozenset({"all_pass"}),
    "latency": frozenset({"within", "absolute"}),
    "size": frozenset({"within", "absolute"}),
}


class Gate(Part):
    """One gate. `limit` is in the rule's own unit: points for absolute drops, a share for relative ones."""

    name: str
    kind: Literal["task", "regression", "safety", "latency", "size"]
    metric: str
    rule: Literal["at_least_production", "max_drop", "min_improvement", "absolute", "all_pass", "within"]
    effect: Literal["block", "flag", "warn"] = "block"
    limit: float | None = None
    relative: bool = False
    preset: Literal["strict", "refresh"] = "strict"
    shadow: bool = False

    @model_validator(mode="after")
    def _sane(self) -> Self:
        if self.rule not in RULES_OF_KIND[self.kind]:
            words = {"name": self.name, "kind": self.kind, "rules": ", ".join(sorted(RULES_OF_KIND[self.kind]))}
            raise ValueError(_("Gate %(name)s: evidence of kind %(kind)s is judged by: %(rules)s.") % words)
        if self.rule in ("max_drop", "min_improvement", "absolute", "within") and self.limit is None:
            raise ValueError(_("Gate %(name)s: this rule needs a limit.") % {"name": self.name})
        if self.limit is not None and not 0 <= self.limit <= 100:
            raise ValueError(_("Gate %(name)s: the limit must lie between 0 and 100.") % {"name": self.name})
        return self


def default_gates(metric: str = "accuracy") -> tuple[Gate, ...]:
    """The six gates of the product."""
    return (
        Gate(name="accuracy", kind="task", metric=metric, rule="at_least_production"),
        Gate(name="improvement", kind="task", metric=metric, rule="min_improvement", limit=0.5, effect="flag"),
        Gate(name="regression", kind="regression", metric="regression", rule="all_pass"),
        Gate(name="latency", kind="latency", metric="latency_p95", rule="within", limit=0.10, relative=True),
        Gate(name="safety", kind="safety", metric="safety", rule="all_pass"),
        Gate(name="size", kind="size", metric="gguf_bytes", rule="within", limit=0.05, relative=True, effect="warn"),
    )


class Schedule(Part):
    """An RFC 5545 rule in the client's time zone; `at` is local wall-clock time."""

    rule: str = "FREQ=MONTHLY;BYDAY=+1TU"
    at: time = time(4, 0)

    @field_validator("rule")
    @classmethod
    def _parses(cls, rule: str) -> str:
        try:
            rrulestr(f"DTSTART:20260101T000000\nRRULE:{rule}")
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(_("Not an RFC 5545 rule: %(error)s") % {"error": error}) from error
        if "HOURLY" in rule or "MINUTELY" in rule or "SECONDLY" in rule:
            raise ValueError(_("A schedule runs at most daily."))
        return rule


class Triggers(Part):
    """What starts a run by itself. None switches a trigger off."""

    schedule: Schedule | None = None
    new_examples: int | None = Field(500, ge=1)
    quality_below: Share | None = 0.85
    quality_min_sample: int = Field(100, ge=10)
    cooldown_s: Seconds = 48 * 3600
    max_runs_per_day: int = Field(4, ge=1, le=96)

    @property
    def cooldown(self) -> timedelta:
        return timedelta(seconds=self.cooldown_s)


class DataChecks(Part):
    """Thresholds of the validate stage."""

    min_new_examples: int = Field(100, ge=1)
    max_malformed_share: Share = 0.05
    # The stored signatures find every pair from 0.9 upwards, not below.
    near_duplicate_jaccard: float = Field(0.95, ge=0.9, le=1.0)
    max_label_shift: Share = 0.30
    max_label_share: Share = 0.90
    min_quality: Share = 0.5


class RolloutStep(Part):
    share: float = Field(gt=0, lt=1)
    min_duration_s: Seconds


class RolloutPlan(Part):
    """Canary steps before 100 %. Timers are minimum durations *and* minimum evidence."""

    steps: tuple[RolloutStep, ...] = (
        RolloutStep(share=0.05, min_duration_s=2 * 3600),
        RolloutStep(share=0.25, min_duration_s=4 * 3600),
    )
    max_step_s: Seconds = 24 * 3600
    min_keys: int = Field(50, ge=0)
    safe_evidence: float = Field(20.0, gt=1)
    check_every_s: int = Field(300, ge=1, le=86_400)
    request_timeout_s: int = Field(120, ge=1, le=3600)
    is_literal: bool = False

    @model_validator(mode="after")
    def _rising(self) -> Self:
        shares = [step.share for step in self.steps]
        if shares != sorted(shares) or len(set(shares)) != len(shares):
            raise ValueError(_("Each step must have a larger share than the one before."))
        if any(step.min_duration_s > self.max_step_s for step in self.steps):
            raise ValueError(_("A step's minimum duration is longer than the most a step may take."))
        return self


class MonitorPlan(Part):
    """Watching after 100 %: the duration is divided as 12, 20 and 18 looks over the first 1/24, 5/24 and 18/24."""

    duration_s: int = Field(24 * 3600, ge=1, le=30 * 86_400)
    safe_evidence: float = Field(20.0, gt=1)
    is_literal: bool = False


class PipelineSettings(Part):
    """Everything a client decided about one pipeline."""

    stages: tuple[str, ...] = STAGES
    recipe: Recipe = Recipe()
    criteria: Criteria = Criteria()
    gates: tuple[Gate, ...] = Field(default_factory=default_gates)
    triggers: Triggers = Triggers()
    data: DataChecks = DataChecks()
    rollout: RolloutPlan = RolloutPlan()
    monitor: MonitorPlan = MonitorPlan()
    hosts: tuple[str, ...] = ()
    recipients: tuple[EmailStr, ...] = ()

    @field_validator("stages")
    @classmethod
    def _known_stages(cls, stages: tuple[str, ...]) -> tuple[str, ...]:
        unknown = set(stages) - set(STAGES)
        missing = set(ALWAYS_ON) - set(stages)
        if unknown or missing:
            raise ValueError(
                _("Stages must be of %(all)s and hold %(needed)s.")
                % {"all": ", ".join(STAGES), "needed": ", ".join(ALWAYS_ON)}
            )
        return tuple(s for s in STAGES if s in stages)

    @model_validator(mode="after")
    def _gates_measured(self) -> Self:
        names = [gate.name for gate in self.gates]
        if len(set(names)) != len(names):
            raise ValueError(_("Two gates have the same name."))
        for gate in self.gates:
            if gate.kind == "task" and gate.metric not in self.criteria.metrics:
                raise ValueError(
                    _("Gate %(gate)s needs metric %(metric)s, which is not among the criteria.")
                    % {"gate": gate.name, "metric": gate.metric}
                )
        return self
