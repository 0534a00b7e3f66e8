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
from agency.demo.traffic import Traffic

WARM_UP_REQUESTS = 80


@dataclass(frozen=True)
class Act:
    """One run of one act, as the summary shows it."""

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

    @property
    def is_as_expected(self) -> bool:
        return self.verdict == self.expected


@dataclass
class Stage:
    """One client's stage: its installation, its API, its prompts."""

    installation: Installation
    client: DemoClient
    display: Display

    def __post_init__(self) -> None:
        self.api: Api = self.installation.api(self.client)
        self.prompts = self.client.prompts()

    def traffic(self, per_s: float = 25.0) -> Traffic:
        key = self.installation.keys[self.client.slug]
        return Traffic(self.installation.url, key, self.client.pipeline, self.prompts, per_s)

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
    return _told(stage, f"{act}: v1 approved by a person", "succeeded", run, began, traffic)


def retrain(stage: Stage, act: str, drop: str, expected: str, fault: tuple[str, str] | None = None) -> Act:
    """A run on new data with live traffic from the canary on. `fault`: (at which stage it begins, slow or failing)."""
    began = time.monotonic()
    number = _start(stage, drop)
    run = stage.follow(number, _in_traffic)
    if not _in_traffic(run):
        return _told(stage, act, expected, run, began)
    with stage.traffic() as traffic:
        if fault is not None:
            run = stage.follow(number, lambda run: run["stage"] == fault[0])
            stage.installation.proxy.faults[f"{stage.client.pipeline}:{run['version']}"] = fault[1]
        run = stage.follow(number)
        time.sleep(1.0)  # So that the meter sees what the version that came back answers.
    return _told(stage, act, expected, run, began, traffic)


def without_traffic(stage: Stage, act: str, drop: str, expected: str) -> Act:
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
    stage: Stage, act: str, expected: str, run: dict[str, Any], began: float, traffic: Traffic | None = None
) -> Act:
    seconds = round(time.monotonic() - began, 1)
    reason, rollback_s = run["reason"], None
    if run["status"] == "rolled_back":
        rollback_s = _rollback_seconds(stage.api, run["version"])
    if run["status"] == "succeeded":
        reason = next((g["sentence"] for g in run["gates"] if g["effect"] == "block"), reason)
    arms = dict(traffic.arms) if traffic else {}
    fields = {
        "version": run["version"],
        "expected": expected,
        "verdict": run["status"],
        "reason": reason,
        "seconds": seconds,
    }
    return Act(act, stage.client.slug, run["number"], requests=arms, rollback_s=rollback_s, **fields)


def _rollback_seconds(api: Api, version: str | None) -> float | None:
    """From the decision to the version's last answer, once the product has written it down."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = next((r for r in api.rollbacks() if f"{r['from_version']}" in (version, (version or "v")[1:])), None)
        if found and found.get("seconds") is not None:
            return float(found["seconds"])
        time.sleep(0.5)
    return None
