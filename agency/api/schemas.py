"""What the API takes and gives. Times are ISO 8601 in UTC, shares 0..1, digests SHA-256 in hex."""

from __future__ import annotations

from datetime import datetime
from math import isfinite
from typing import Any, Generic, Self, TypeVar

from django.utils.translation import gettext as _
from ninja import Field, Schema
from pydantic import ConfigDict, model_validator
from pydantic_core import PydanticCustomError

Item = TypeVar("Item")


class Error(Schema):
    code: str
    message: str


class Refusal(Schema):
    """Every answer that is not 2xx."""

    error: Error


class Asked(Schema):
    """What callers send. No text or number in it, however deep, may be one that no database keeps."""

    @model_validator(mode="after")
    def check_kept(self) -> Self:
        for name in type(self).model_fields:
            if why := _unkept(getattr(self, name)):
                raise PydanticCustomError("unkept", "{name} {why}", {"name": name, "why": why})
        return self


def _unkept(value: object) -> str:
    """What is wrong with the first such value; empty: nothing. A nested `Asked` has judged itself."""
    match value:
        case str() if "\x00" in value:
            return _("holds a NUL character, which no database keeps. Send it without.")
        case str() if any("\ud800" <= character <= "\udfff" for character in value):
            return _("holds half of a surrogate pair, which is no character. Send UTF-8.")
        case float() if not isfinite(value):
            return _("holds NaN or infinity, which JSON does not have. Send a number or null.")
        case dict():
            return next(filter(None, map(_unkept, (*value.keys(), *value.values()))), "")
        case list():
            return next(filter(None, map(_unkept, value)), "")
    return ""


class Page(Schema, Generic[Item]):
    """Newest first. `next` is the value of `before` for the page after this one; null on the last."""

    items: list[Item]
    next: int | None


class BatchOut(Schema):
    """One upload. `rows` counts lines read so far, `quarantined` those that broke a rule."""

    id: int
    token: str
    source: str
    is_complete: bool
    rows: int
    quarantined: int
    created_at: datetime


class QuarantinedOut(Schema):
    """A row that was set aside: its line in the upload, the rule, and a JSON pointer to the place."""

    id: int
    line: int
    rule: str
    pointer: str
    detail: str


class BatchDetail(BatchOut):
    """With the first hundred quarantined rows."""

    quarantine: list[QuarantinedOut]


class PipelineOut(Schema):
    """`pause`: who paused it and why; empty while it is not paused."""

    slug: str
    name: str
    is_paused: bool
    pause: str
    settings_revision: int | None
    production: str | None
    latest_run: int | None


class PauseIn(Asked):
    model_config = ConfigDict(extra="forbid")
    reason: str = Field(..., min_length=1, max_length=500)


class GuardrailOut(Schema):
    """`evidence` that the version is worse rolls back at `threshold`; `safe_evidence` lets the last step advance."""

    words: str
    candidate: float
    production: float
    candidate_n: int
    production_n: int
    evidence: float
    threshold: float
    safe_evidence: float
    is_safe: bool
    more: int | None


class RolloutOut(Schema):
    """`share` of the traffic that the version has, null when it is no longer on its way; `missing`: to advance."""

    status: str
    version: str
    previous: str | None
    step: int
    share: float | None
    is_paused: bool
    missing: str
    pairs: int
    guardrails: list[GuardrailOut]


class PromptIn(Asked):
    """What a prompt run changes. `version`: whose weights (null: production's). `replaces`: also where an application
    brings a system prompt. `parameters` as hosts name them: stop, num_predict, temperature, top_p, top_k, min_p,
    repeat_penalty; all but the first two need `evaluate_on: host` in the settings.
    """

    model_config = ConfigDict(extra="forbid")
    version: int | None = None
    system: str = ""
    replaces: bool = False
    parameters: dict[str, Any] = Field(default_factory=dict)


class RunIn(Asked):
    """`force` passes the cooldown after a rollback; it needs a reason. With `prompt` the run skips training."""

    model_config = ConfigDict(extra="forbid")
    reason: str = Field("", max_length=500)
    force: bool = False
    prompt: PromptIn | None = None


class AgainIn(Asked):
    """`stage`: validate, finetune, evaluate, compare or deploy."""

    model_config = ConfigDict(extra="forbid")
    stage: str
    reason: str = Field(min_length=1, max_length=500)


class ModelIn(Asked):
    """What goes with a model that was trained elsewhere: its file's name, why it comes, `force` as of a run."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field("model", max_length=200)
    reason: str = Field("", max_length=500)
    force: bool = False


class RunOut(Schema):
    """`status` is live (queued, running, waiting, held) or final.

    Final: succeeded, skipped (no new data), stopped (data checks), rejected (gates), rolled_back, failed, cancelled.
    """

    number: int
    status: str
    stage: str
    reason: str
    verdict: str
    occasion: dict[str, Any]
    version: str | None
    created_at: datetime
    finished_at: datetime | None


class StageOut(Schema):
    stage: str
    status: str
    started_at: datetime
    finished_at: datetime | None
    output: dict[str, Any]


class JobOut(Schema):
    stage: str
    kind: str
    status: str
    attempts: int
    progress: dict[str, Any]
    error: str


class GateOut(Schema):
    name: str
    effect: str
    is_shadow: bool
    verdict: str
    sentence: str
    numbers: dict[str, Any]


class EventOut(Schema):
    seq: int
    stage: str
    from_status: str
    to_status: str
    reason: str
    at: datetime


class CheckOut(Schema):
    """One look of the canary or the monitor."""

    phase: str
    number: int
    decision: str
    sentence: str
    numbers: dict[str, Any]
    at: datetime


class RunDetail(RunOut):
    stages: list[StageOut]
    jobs: list[JobOut]
    gates: list[GateOut]
    events: list[EventOut]
    checks: list[CheckOut]


class VersionOut(Schema):
    number: int
    label: str
    status: str
    gguf_digest: str
    lora_digest: str
    gguf_bytes: int
    created_at: datetime
    promoted_at: datetime | None
    approved_by: str


class RollbackIn(Asked):
    """`to`: the number of the version to go back to, 0 for an adopted one; left out, the one before."""

    model_config = ConfigDict(extra="forbid")
    reason: str = Field(..., min_length=1, max_length=500)
    to: int | None = Field(None, ge=0)


class RollbackOut(Schema):
    """`seconds`: from the decision to the last answer of the version taken back; null until traffic has shown it.

    `flipped_at`: when the traffic moved; null while the version to go back to is loaded and asked on its hosts.
    """

    id: int
    pipeline: str
    from_version: str
    to_version: str | None
    phase: str
    metric: str
    sentence: str
    numbers: dict[str, Any]
    decided_by: str
    decided_at: datetime
    flipped_at: datetime | None
    seconds: float | None


class FeedbackIn(Asked):
    """`request_id` is the header of the same name that came with the answer."""

    model_config = ConfigDict(extra="forbid")
    request_id: str = Field(..., min_length=1, max_length=40)
    is_good: bool
    correct_answer: str = Field("", max_length=20_000)
    comment: str = Field("", max_length=2_000)


class FeedbackOut(Schema):
    id: int
    request_id: str
    version: str
    is_good: bool
    at: datetime


class TriggerDecisionOut(Schema):
    """Why a run started, or why not yet."""

    id: int
    pipeline: str
    at: datetime
    started: bool
    reason: str
    next_eligible_at: datetime | None
    run: int | None
