"""The settings of one pipeline: what a client decided. Validated here, kept as immutable revisions, pinned by runs."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Annotated, Any, Literal, Self

from django.conf import settings
from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict, EmailStr, Field, ValidationInfo, field_validator, model_validator

from tenants.change_control import read_blackout, read_wall_time, read_window, rule_fault
from tenants.telling.rules import NoticeKind, NoticeRule, channels_of, mailed

STAGES = ("trigger", "validate", "finetune", "evaluate", "compare", "deploy", "monitor")
ALWAYS_ON = ("trigger", "finetune", "evaluate", "deploy")
METRICS = (
    "accuracy", "f1_macro", "f1_micro", "f1_weighted", "exact_match", "normalised_match", "numeric",
    "json_schema", "json_fields", "rouge1", "rouge2", "rougeL", "bleu", "chrf", "judge",
)  # fmt: skip

# Found by a judge model and not by a check; see Judging.
JUDGED = "judge"

# The context in which stored bodies are read: the time of an old schedule may have an offset, which never counted.
STORED = {"is_stored": True}

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Seconds = Annotated[int, Field(ge=0, le=30 * 86_400)]


class Part(BaseModel):
    """A part of the settings: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Recipe(Part):
    """The locked recipe of a training. Lengths in tokens.

    `delivery`: what hosts are sent: one merged file, or the base once and each version's LoRA beside it
    (docs/why/adapter-apart.md). `needs_gpu`: trained only where there is one, here or on a machine of the agency.
    """

    base: str = "tiny"
    trainer: str = "peft"
    quantisation: Literal["Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16"] = "Q4_K_M"
    delivery: Literal["merged", "adapter"] = "merged"
    lora_rank: int = Field(16, ge=1, le=256)
    lora_alpha: int = Field(32, ge=1, le=512)
    learning_rate: float = Field(2e-3, gt=0, le=0.1)
    epochs: int = Field(3, ge=1, le=50)
    batch_size: int = Field(8, ge=1, le=256)
    max_tokens: int = Field(256, ge=16, le=131_072)
    seed: int = Field(0, ge=0, le=2**31 - 1)
    needs_gpu: bool = False


class OutputFormat(Part):
    """What a good answer looks like, so that the gateway can count bad ones.

    `is_enforced`: applications ask for the JSON by the host's `format`, and so does the evaluation; values are strings.
    """

    kind: Literal["text", "label", "json"] = "text"
    labels: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    is_enforced: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "label" and not self.labels:
            raise ValueError(_("A label format needs its labels."))
        if self.kind == "json" and not self.fields:
            raise ValueError(_("A JSON format needs the names of its fields."))
        if self.is_enforced and self.kind != "json":
            raise ValueError(_("Only a JSON format can be enforced by hosts."))
        return self

    @property
    def promised(self) -> dict[str, Any]:
        """As pipelines.metrics.format_check takes it."""
        match self.kind:
            case "label":
                return {"kind": "label", "labels": list(self.labels)}
            case "json":
                return {"kind": "json", "required": list(self.fields)}
        return {"kind": "any"}


class Judging(Part):
    """Which judge model compares candidate and production; `wanted` says in plain words what makes an answer better."""

    endpoint: str = ""
    wanted: str = Field("", max_length=2000)
    cases: int = Field(200, ge=20, le=5000)
    timeout_s: float = Field(60.0, ge=1, le=600)


class Criteria(Part):
    """How answers are judged. Sets themselves are rows: a kind that has no set has no gate."""

    metrics: tuple[str, ...] = ("accuracy",)
    output: OutputFormat = OutputFormat()
    max_answer_tokens: int = Field(48, ge=1, le=4096)
    context_tokens: int = Field(2048, ge=128, le=1_048_576)
    evaluate_on: Literal["worker", "host"] = "worker"
    latency_calls: int = Field(300, ge=100, le=5000)
    latency_rounds: int = Field(3, ge=1, le=3)
    latency_floor_ms: float = Field(5.0, ge=0, le=60_000)
    judge: Judging = Judging()

    @field_validator("metrics")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        offered = (*METRICS, *settings.OWN_METRICS)
        unknown = sorted(set(names) - set(offered))
        if unknown or not names:
            raise ValueError(
                _("Unknown metric: %(names)s. Known: %(known)s.")
                % {"names": ", ".join(unknown) or "-", "known": ", ".join(offered)}
            )
        return names

    @model_validator(mode="after")
    def _judged(self) -> Self:
        if JUDGED in self.metrics and not self.judge.endpoint:
            raise ValueError(_("The metric judge needs a judge: choose one that the client allows."))
        return self


# Which rules can judge which evidence; a test holds it to the judge's own table (pipelines.domain.gates).
RULES_OF_KIND: dict[str, frozenset[str]] = {
    "task": frozenset({"at_least_production", "max_drop", "min_improvement", "absolute"}),
    "regression": frozenset({"all_pass"}),
    "safety": frozenset({"all_pass"}),
    "latency": frozenset({"within", "absolute"}),
    "size": frozenset({"within", "absolute"}),
}

# What evidence of a kind is called; task gates name one of the criteria's metrics.
METRIC_OF_KIND = {
    "regression": "regression",
    "safety": "safety",
    "latency": "latency_p95",
    "size": "gguf_bytes",
}


class Gate(Part):
    """One gate.

    `limit` is in the rule's own unit: points for drops and improvements, a share where `relative` and for `within`; for
    `absolute` that of the evidence: a score of 0 to 1, milliseconds, bytes. `tolerance` is in points; None is the
    preset's own (0 and 3). `evidence` is how much a pass needs: the preset's, a drop excluded at 95 %, or better beyond
    chance.
    """

    name: str
    kind: Literal["task", "regression", "safety", "latency", "size"]
    metric: str
    rule: Literal["at_least_production", "max_drop", "min_improvement", "absolute", "all_pass", "within"]
    effect: Literal["block", "flag", "warn"] = "block"
    limit: float | None = None
    relative: bool = False
    preset: Literal["strict", "refresh"] = "strict"
    tolerance: float | None = Field(None, ge=0, le=100)
    evidence: Literal["preset", "required", "superior"] = "preset"
    shadow: bool = False

    @model_validator(mode="after")
    def _sane(self) -> Self:
        if self.rule not in RULES_OF_KIND[self.kind]:
            words = {"name": self.name, "kind": self.kind, "rules": ", ".join(sorted(RULES_OF_KIND[self.kind]))}
            raise ValueError(_("Gate %(name)s: evidence of kind %(kind)s is judged by: %(rules)s.") % words)
        if self.rule in ("max_drop", "min_improvement", "absolute", "within") and self.limit is None:
            raise ValueError(_("Gate %(name)s: this rule needs a limit.") % {"name": self.name})
        if self.kind != "task" and self.metric != METRIC_OF_KIND[self.kind]:
            words = {"name": self.name, "kind": self.kind, "metric": METRIC_OF_KIND[self.kind]}
            raise ValueError(_("Gate %(name)s: the metric of kind %(kind)s is %(metric)s.") % words)
        self._refuse_loose_ends()
        if self.limit is not None and not 0 <= self.limit <= self.highest_limit:
            words = {"name": self.name, "top": f"{self.highest_limit:,.0f}"}
            raise ValueError(_("Gate %(name)s: the limit must lie between 0 and %(top)s.") % words)
        return self

    def _refuse_loose_ends(self) -> None:
        if self.rule != "at_least_production" and (self.tolerance is not None or self.evidence == "superior"):
            raise ValueError(
                _("Gate %(name)s: tolerance and superior evidence belong to the rule at_least_production.")
                % {"name": self.name}
            )
        if self.tolerance and self.preset == "strict" and self.evidence != "required":
            raise ValueError(
                _("Gate %(name)s: strict tolerates nothing. Choose the preset refresh, or evidence required.")
                % {"name": self.name}
            )

    @property
    def highest_limit(self) -> float:
        """Above it a gate says nothing (a ratio of 11) or can never pass (an accuracy above 1)."""
        match self.rule, self.kind:
            case "absolute", "latency":
                return 600_000.0  # ms
            case "absolute", "size":
                return 1e12  # bytes
            case "absolute", _:
                return 1.0
            case "within", _:
                return 10.0
            case _:
                return 1.0 if self.relative else 100.0


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

    @field_validator("at", mode="before")
    @classmethod
    def _is_on_the_wall(cls, at: Any, info: ValidationInfo) -> Any:
        return read_wall_time(at, info.context == STORED)

    @field_validator("rule")
    @classmethod
    def _parses(cls, rule: str) -> str:
        fault = rule_fault(rule)
        if fault is not None:
            raise ValueError(_("Not an RFC 5545 rule: %(error)s") % {"error": fault})
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


SECRET_KINDS = ("key", "card", "iban", "id_number", "email", "phone")
LANGUAGES = ("en", "es", "fr", "de", "pt", "it", "ca", "nl", "ja", "ko", "zh", "ru", "el", "ar", "he", "hi", "th")

Weight = Annotated[float, Field(ge=0.0, le=100.0)]


class QualityParts(Part):
    """What the quality score of a row is made of: a weight for each part, 0 leaves it out. Lengths in words."""

    length: Weight = 1.0
    format: Weight = 1.0
    refusal: Weight = 1.0
    language: Weight = 0.0
    min_words: int = Field(1, ge=0, le=10_000)
    max_words: int = Field(2_000, ge=1, le=1_000_000)
    wanted_language: str = ""

    @model_validator(mode="after")
    def _sane(self) -> Self:
        if not self.weights:
            raise ValueError(_("The quality score needs at least one part with a weight above 0."))
        if self.wanted_language not in ("", *LANGUAGES):
            raise ValueError(_("Unknown language. Known: %(known)s.") % {"known": ", ".join(LANGUAGES)})
        if self.language and not self.wanted_language:
            raise ValueError(_("The part language needs the wanted language."))
        return self

    @property
    def weights(self) -> dict[str, float]:
        parts = {"length": self.length, "format": self.format, "refusal": self.refusal, "language": self.language}
        return {name: weight for name, weight in parts.items() if weight}


class DataChecks(Part):
    """Thresholds of the validate stage. `novel_below`: rows less like every category than this wait for review."""

    min_new_examples: int = Field(100, ge=1)
    max_malformed_share: Share = 0.05
    # The stored signatures find every pair from 0.9 upwards, not below.
    near_duplicate_jaccard: float = Field(0.95, ge=0.9, le=1.0)
    max_label_shift: Share = 0.30
    max_label_share: Share = 0.90
    max_length_shift: Share = 0.50
    max_language_shift: Share = 0.30
    min_quality: Share = 0.5
    quality: QualityParts = QualityParts()
    novel_below: Share = 0.01
    secrets: Literal["off", "quarantine", "mask"] = "off"
    secret_kinds: tuple[str, ...] = SECRET_KINDS

    @field_validator("secret_kinds")
    @classmethod
    def _known_secrets(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(kinds) - set(SECRET_KINDS))
        if unknown:
            words = {"names": ", ".join(unknown), "known": ", ".join(SECRET_KINDS)}
            raise ValueError(_("Unknown kind of secret: %(names)s. Known: %(known)s.") % words)
        return kinds


class RolloutStep(Part):
    share: float = Field(gt=0, lt=1)
    min_duration_s: Seconds


class RolloutPlan(Part):
    """Canary steps before 100 %. Timers are minimum durations *and* minimum evidence.

    `mode` alias: applications call a host by the name `:production`. There are no shares then: a replay decides, and
    all traffic moves by copying the name, host by host.
    """

    mode: Literal["gateway", "alias"] = "gateway"
    steps: tuple[RolloutStep, ...] = (
        RolloutStep(share=0.05, min_duration_s=2 * 3600),
        RolloutStep(share=0.25, min_duration_s=4 * 3600),
    )
    max_step_s: Seconds = 24 * 3600
    min_keys: int = Field(50, ge=0)
    safe_evidence: float = Field(20.0, gt=1)
    check_every_s: int = Field(300, ge=1, le=86_400)
    request_timeout_s: int = Field(120, ge=1, le=3600)
    # Step 0, and what settles a step without enough traffic; only where bodies are kept.
    replay: bool = True
    max_pairs: int = Field(400, ge=50, le=2000)
    # Production and its predecessor always stay.
    keep_on_hosts: int = Field(3, ge=2, le=50)
    is_literal: bool = False

    @property
    def is_direct(self) -> bool:
        """Whether applications reach the hosts without the gateway."""
        return self.mode == "alias"

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
    # Keys that stay with the version before, as a second baseline that no change of the workload can fool.
    holdback_share: float = Field(0.0, ge=0, le=0.5)
    safe_evidence: float = Field(20.0, gt=1)
    is_literal: bool = False


# How texts are made fit to be kept; a test holds it to the gateway's own table (agency.gateway.meter.redaction).
REDACTIONS = ("personal", "none")


class Bodies(Part):
    """Whether the gateway keeps what was asked and answered: only where the client opted in, and only for so long."""

    keep: bool = False
    days: int = Field(14, ge=1, le=365)
    max_bytes: int = Field(32_768, ge=256, le=1_048_576)
    redaction: str = "personal"

    @field_validator("redaction")
    @classmethod
    def _known(cls, name: str) -> str:
        offered = (*REDACTIONS, *settings.OWN_REDACTIONS)
        if name not in offered:
            known = ", ".join(offered)
            raise ValueError(_("Unknown redaction: %(name)s. Known: %(known)s.") % {"name": name, "known": known})
        return name


class ChangeControl(Part):
    """When rollouts may begin and take steps, in the client's time zone; no window means at any hour.

    Windows as `MO-TH 09:00-16:00`, blackouts as `2026-12-20/2027-01-06 year end` (both days whole).
    """

    windows: tuple[str, ...] = ()
    blackouts: tuple[str, ...] = ()

    @field_validator("windows")
    @classmethod
    def _windows(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            read_window(text)
        return texts

    @field_validator("blackouts")
    @classmethod
    def _blackouts(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            read_blackout(text)
        return texts


class Drills(Part):
    """How often the way back to the version before is rehearsed by itself, in days; None is never."""

    every_days: int | None = Field(30, ge=1, le=365)


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
    bodies: Bodies = Bodies()
    change: ChangeControl = ChangeControl()
    drills: Drills = Drills()
    hosts: tuple[str, ...] = ()
    recipients: tuple[EmailStr, ...] = ()
    remind_after_s: int | None = Field(4 * 3600, ge=60, le=30 * 86_400)
    escalate_after_s: int | None = Field(24 * 3600, ge=60, le=30 * 86_400)
    notices: dict[NoticeKind, NoticeRule] = Field(default_factory=dict)

    @property
    def starts_at_new_examples(self) -> int | None:
        """How many new examples start a run: never so few that validate would skip it. None: they start none."""
        wanted = self.triggers.new_examples
        if wanted is None or "validate" not in self.stages:
            return wanted
        return max(wanted, self.data.min_new_examples)

    def mailed(self, kind: str) -> list[str]:
        return mailed(self.notices, kind, self.recipients)

    def channels_of(self, kind: str) -> tuple[str, ...] | None:
        return channels_of(self.notices, kind)

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
    def _measured_where_it_can_be(self) -> Self:
        if self.recipe.delivery == "adapter" and self.criteria.evaluate_on == "host":
            raise ValueError(
                _("Adapters of one base take turns on a host, a load for each question: measure on the worker.")
            )
        return self

    @model_validator(mode="after")
    def _gates_measured(self) -> Self:
        names = [gate.name for gate in self.gates]
        if len(set(names)) != len(names):
            raise ValueError(_("Two gates have the same name."))
        deciding = {g.metric for g in self.gates if g.kind == "task" and g.effect == "block" and not g.shadow}
        if deciding == {JUDGED}:
            raise ValueError(
                _("A judge model is never the only task metric that blocks: add a gate on one that is computed.")
            )
        for gate in self.gates:
            if gate.kind == "task" and gate.metric not in self.criteria.metrics:
                raise ValueError(
                    _("Gate %(gate)s needs metric %(metric)s, which is not among the criteria.")
                    % {"gate": gate.name, "metric": gate.metric}
                )
        return self
