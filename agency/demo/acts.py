"""The four acts: promoted, stopped, blocked, rolled back. Each tells what it expected and what came."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agency.demo.clients import DemoClient
from agency.demo.display import Display
from agency.demo.installation import Installation
from agency.demo.outside import Api, DemoFailed
from agency.demo.pace import SHORT
from agency.demo.traffic import Traffic

WARM_UP_REQUESTS = 80


@dataclass(frozen=True)
class Act:
    """One run of one act, as the summary shows it.

    `because` is what brought the verdict: the stage, failed gates, the rollback's phase and guardrail; `wanted` must be
    among it.
    """

    name: str
    client: str
    run: int
    version: str | None
    expected: str
    verdict: str
    reason: str
    seconds: float
    requests: dict[str, int] = field(default_factory=dict)
    rollback_s: float | None = None
    because: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()

    @property
    def is_as_expected(self) -> bool:
        return self.verdict == self.expected and set(self.wanted) <= set(self.because)

    @property
    def is_fair_rejection(self) -> bool:
        """The gates kept a candidate back that the act wanted further: on a base that nobody tuned it for, a result."""
        return self.verdict == "rejected" and self.expected != "rejected"


def ended_well(told: list[Act], wanted: int, *, is_own_base: bool) -> bool:
    """Every act as it should; on another base than the demo's own a fair rejection may end it earlier."""
    *before, last = told
    if not all(act.is_as_expected for act in before):
        return False
    return (last.is_as_expected and len(told) == wanted) or (last.is_fair_rejection and not is_own_base)


@dataclass
class Stage:
    """One client's stage: its installation, its API, its prompts."""

    installation: Installation
    client: DemoClient
    display: Display
    requests_per_s: float = SHORT.requests_per_s

    def __post_init__(self) -> None:
        self.api: Api = self.installation.api(self.client)
        self.prompts = self.client.prompts()

    def traffic(self) -> Traffic:
        key = self.installation.keys[self.client.slug]
        return Traffic(self.installation.url, key, self.client.pipeline, self.prompts, self.requests_per_s)

    def see(self, run: dict[str, Any]) -> None:
        self.display.see(self.client.slug, run)

    def follow(self, number: int, until: Callable[[dict[str, Any]], bool] = lambda run: False) -> dict[str, Any]:
        return self.api.follow(number, until, self.see)


def played(*acts: Callable[[], Act]) -> list[Act]:
    """One after the other; after one that ended otherwise than it should, the rest would tell nothing."""
    told: list[Act] = []
    for act in acts:
        told.append(act())
        if not told[-1].is_as_expected:
            break
    return told


def first_version(stage: Stage, act: str) -> Act:
    """v1: trained, judged, held; a person approves; straight to 100 %.

    Then some traffic, so that there is a baseline.
    """
    began = time.monotonic()
    number = _start(stage, "v1")
    run = stage.follow(number, lambda run: run["status"] == "held")
    if run["status"] == "held":
        stage.installation.owner().approve(
            stage.client.slug, stage.client.pipeline, number, "answers read, looks right"
        )
        run = stage.follow(number, lambda run: run["stage"] == "monitor")
    with stage.traffic() as traffic:
        run = stage.follow(number)
        _wait_for_requests(traffic)
    return _told(stage, f"{act}: v1 approved by a person", Expected("succeeded"), run, began, traffic)


@dataclass(frozen=True)
class Expected:
    """The verdict, and what must be among the reasons for it."""

    verdict: str
    because: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fault:
    """`kind` ("slow" or "failing") begins at a stage; the rollback must come in this phase by this guardrail."""

    stage: str
    kind: str
    phase: str
    guardrail: str

    def strike(self, stage: Stage, number: int) -> None:
        run = stage.follow(number, lambda run: run["stage"] == self.stage)
        stage.installation.proxy.faults[f"{stage.client.pipeline}:{run['version']}"] = self.kind


def retrain(stage: Stage, act: str, drop: str, expected: str, fault: Fault | None = None) -> Act:
    """A run on new data with live traffic from the canary on."""
    began = time.monotonic()
    number = _start(stage, drop)
    run = stage.follow(number, _in_traffic)
    awaited = Expected(expected, (fault.phase, fault.guardrail) if fault else ())
    if not _in_traffic(run):
        return _told(stage, act, awaited, run, began)
    with stage.traffic() as traffic:
        if fault is not None:
            fault.strike(stage, number)
        run = stage.follow(number)
        time.sleep(1.0)  # So that the meter sees what the version that came back answers.
    return _told(stage, act, awaited, run, began, traffic)


def without_traffic(stage: Stage, act: str, drop: str, expected: Expected) -> Act:
    """A run that must end before anything reaches the traffic."""
    began = time.monotonic()
    run = stage.follow(_start(stage, drop), _in_traffic)
    return _told(stage, act, expected, run, began)


def _start(stage: Stage, drop: str) -> int:
    batch = stage.api.add_examples(stage.client.rows(drop), f"{stage.client.slug}-{drop}")
    stage.display.say(f"{stage.client.slug:>11}  {drop}: {batch['rows']} rows, {batch['quarantined']} malformed")
    return stage.api.start_run(f"demo: {drop}")


def _in_traffic(run: dict[str, Any]) -> bool:
    return run["status"] == "waiting" and run["reason"].startswith("canary")


def _wait_for_requests(traffic: Traffic) -> None:
    deadline = time.monotonic() + 60
    while sum(traffic.arms.values()) < WARM_UP_REQUESTS:
        if time.monotonic() > deadline:
            raise DemoFailed(f"the gateway answered {sum(traffic.arms.values())} requests in a minute")
        time.sleep(0.2)


def _told(
    stage: Stage,
    act: str,
    expected: Expected,
    run: dict[str, Any],
    began: float,
    traffic: Traffic | None = None,
) -> Act:
    seconds = round(time.monotonic() - began, 1)
    reason, back = run["reason"], _rollback(stage.api, run["version"]) if run["status"] == "rolled_back" else None
    if run["status"] == "succeeded":
        reason = next((g["sentence"] for g in run["gates"] if g["effect"] == "block"), reason)
    arms = dict(traffic.arms) if traffic else {}
    fields = {
        "version": run["version"],
        "expected": expected.verdict,
        "verdict": run["status"],
        "reason": reason,
        "seconds": seconds,
        "rollback_s": back and float(back["seconds"]),
        "because": _because(run, back),
        "wanted": expected.because,
    }
    return Act(act, stage.client.slug, run["number"], requests=arms, **fields)


def _because(run: dict[str, Any], back: dict[str, Any] | None) -> tuple[str, ...]:
    kept_back = [g["name"] for g in run["gates"] if g["effect"] == "block" and g["verdict"] == "failed"]
    return (run["stage"], *kept_back, *((back["phase"], back["metric"]) if back else ()))


def _rollback(api: Api, version: str | None) -> dict[str, Any] | None:
    """The rollback of the version, once the product has written down its seconds: decision to last answer."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = next((r for r in api.rollbacks() if f"{r['from_version']}" in (version, (version or "v")[1:])), None)
        if found and found.get("seconds") is not None:
            return found
        time.sleep(0.5)
    return None
