"""What goes over the wire about change: freezes, waivers, what served when, what changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ninja import Schema
from pydantic import ConfigDict, Field

from agency.api.schemas import Asked
from pipelines.actions.waivers import LONGEST


class FreezeIn(Asked):
    """`pipeline` left out: the whole client. `ends_at` left out: until somebody lifts it."""

    model_config = ConfigDict(extra="forbid")
    reason: str = Field(..., min_length=1, max_length=500)
    pipeline: str | None = None
    ends_at: datetime | None = None


class FreezeOut(Schema):
    """`pipeline` null: the whole client."""

    id: int
    pipeline: str | None
    reason: str
    actor: str
    created_at: datetime
    ends_at: datetime | None
    lifted_at: datetime | None
    lifted_by: str
    in_force: bool


class FreezeLifted(FreezeOut):
    """`said`: what follows for rollouts; another freeze may hold them still."""

    said: str


class WaiverIn(Asked):
    """`gate` by its name in the settings; it ends by itself after `days`."""

    model_config = ConfigDict(extra="forbid")
    gate: str = Field(..., min_length=1, max_length=60)
    reason: str = Field(..., min_length=1, max_length=500)
    days: int = Field(..., ge=1, le=LONGEST.days)


class WaiverOut(Schema):
    id: int
    gate: str
    approver: str
    reason: str
    created_at: datetime
    expires_at: datetime
    withdrawn_at: datetime | None
    withdrawn_by: str
    in_force: bool


class WaiverEnded(WaiverOut):
    """`said`: what follows for the gate; another waiver may hold still."""

    said: str


class ChainOut(Schema):
    """`broken` names the first row that does not fit; empty: whole. `head` is the last row's digest."""

    count: int
    head: str
    broken: str


class ServingOut(Schema):
    """`production` and `candidate` are the facts of the versions as they were when the traffic moved."""

    production: dict[str, Any]
    candidate: dict[str, Any] | None
    share: float
    since: datetime
    by: str
    seq: int


class ServedOut(Schema):
    """Everything by name; `serving` by pipeline."""

    at: datetime
    chain: ChainOut
    serving: dict[str, ServingOut]
    settings: dict[str, str]
    hosts: dict[str, str]
    keys: dict[str, str]
    people: dict[str, str]
    waivers: dict[str, str]
    freezes: dict[str, str]


class DifferenceOut(Schema):
    what: str
    name: str
    before: str
    after: str


class ActOut(Schema):
    seq: int
    at: datetime
    actor: str
    verb: str
    subject: str
    detail: dict[str, Any]


class ChangesOut(Schema):
    chain: ChainOut
    since: datetime
    until: datetime
    differences: list[DifferenceOut]
    acts: list[ActOut]


class DrillOut(Schema):
    """`is_passed` null: it goes on. `hosts`: name -> what it showed. No traffic moves in a drill."""

    id: int
    pipeline: str
    from_version: str
    to_version: str
    ordered_by: str
    is_passed: bool | None
    sentence: str
    hosts: dict[str, Any]
    created_at: datetime
    finished_at: datetime | None


class HostOut(Schema):
    """As it was at `checked_at`; `error` says why it did not answer then. `drift`: what was changed on it by hand."""

    name: str
    url: str
    is_enabled: bool
    is_drained: bool
    drain_reason: str
    checked_at: datetime | None
    error: str
    version: str | None
    generation: str | None
    latency_ms: float | None
    loaded_bytes: int | None
    used_bytes: int | None
    drift: list[str]


class SettingOut(Schema):
    """One value by its path, for example recipe.epochs."""

    path: str
    before: Any
    after: Any


class SettingsOut(Schema):
    """`changes`: what the request changed, or (with dry_run) would change."""

    revision: int
    settings: dict[str, Any]
    changes: list[SettingOut]


class SettingsIn(Asked):
    """Whole settings, as they are read. `base`: the revision that they were made from.

    `base_digest`, as a file's: SHA-256 of the base model's folder; refused where another model has the base's name.
    """

    model_config = ConfigDict(extra="forbid")
    settings: dict[str, Any]
    base: int
    base_digest: str = Field("", max_length=64)
    reason: str = Field("", max_length=500)
    dry_run: bool = False
