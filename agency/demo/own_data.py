"""`make demo DATA=folder BASE=name`: the first act on the user's own rows and base model, beside plain yardsticks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from rich.table import Table

from agency.demo import acts, summary, yardsticks
from agency.demo.clients import DemoClient
from agency.demo.display import Display
from agency.demo.installation import Installation
from agency.demo.outside import DemoFailed
from agency.demo.own_rows import BadInput, OwnRows, ndjson, read_folder
from agency.demo.pace import PATIENT, TINY
from tenants.pipeline_settings import Criteria

# What two cores can afford: 500 + 1000 rows of 52 tokens.
PRETRAINED = PATIENT.recipe | {"epochs": 1}
FAIR = ("succeeded", "rejected")


@dataclass(frozen=True)
class OwnClient(DemoClient):
    """A client whose rows are the user's."""

    own: OwnRows = field(kw_only=True)

    def rows(self, drop: str) -> bytes:
        rows = self.own.drops[("v1", "v2").index(drop)]
        return ndjson(row.example() for row in rows)

    def cases(self, kind: str) -> list[dict[str, Any]]:
        return self.own.cases() if kind == "heldout" else []

    def prompts(self) -> list[list[dict[str, str]]]:
        return [row.question for row in self.own.traffic]

    def settings(self, base: str) -> dict[str, Any]:
        recipe = {} if base == TINY else PRETRAINED
        return super().settings(base) | PATIENT.settings | {"recipe": {"base": base} | recipe}


class OwnStage(acts.Stage):
    """A run that waits for a person where none is meant to be asked is a failure with its reason."""

    client: OwnClient

    def follow(self, number: int, until: Callable[[dict[str, Any]], bool] = lambda run: False) -> dict[str, Any]:
        run = super().follow(number, lambda run: until(run) or run["status"] == "held")
        fault = fault_of(run, until(run))
        if fault is not None:
            raise DemoFailed(f"run {number} {fault}")
        return run


def fault_of(run: dict[str, Any], is_awaited: bool) -> str | None:
    """Why the act cannot go on; None if it can. `is_awaited`: the run is where the act wants it to be."""
    match run["status"]:
        case "failed" | "stopped" | "skipped" | "cancelled" as status:
            return f"{status}: {run['reason']}"
        case "held":
            unmeasured = next((gate["sentence"] for gate in run["gates"] if gate["verdict"] == "error"), None)
            # A person promotes the first version; what holds in validate is a fault of the data.
            is_promotion = is_awaited and run["stage"] != "validate"
            said = unmeasured or (None if is_promotion else run["reason"])
            return said and f"waits for a person: {said}"
        case _:
            return None


def perform(installation: Installation, folder: Path, base: str, var: Path) -> bool:
    """v1 and a retrain v2 on the user's rows. False if anything failed; a fair rejection of v2 is a fair result."""
    began = time.monotonic()
    rows, name, model = require(folder, base)
    client = own_client(rows)
    with Display() as display:
        display.say(_describe(rows, folder))
        installation.add_client(client, name)
        stage = OwnStage(installation, client, display, PATIENT.requests_per_s)
        try:
            played = _play(stage)
            marks = _marks(stage, played, model, var / "base")
        except DemoFailed as problem:
            display.say(f"FAILED  {problem}")
            summary.write(var / "summary.json", [], [client], {"base": name, "failed": str(problem)})
            return False
    facts = {"base": name, "data": str(folder), "seconds": round(time.monotonic() - began, 1)}
    facts |= {"accuracy": marks, "heldout_rows": len(rows.heldout), "phases_s": _phases(stage, played)}
    summary.write(var / "summary.json", played, [client], facts)
    summary.show(display.console, played)
    display.console.print(_table(marks, len(rows.heldout)))
    _say_rejection(display, played)
    return len(played) == 2 and all(act.is_as_expected for act in played)


def require(folder: Path, base: str) -> tuple[OwnRows, str, Path]:
    """(rows, name of the base, its folder). BadInput with a sentence before anything heavy starts."""
    name, model = require_base(base)
    return read_folder(folder), name, model


def require_base(base: str) -> tuple[str, Path]:
    """(name, folder) of a base model that this installation has, or of the folder given."""
    name = "own" if Path(base).is_dir() else base
    model = Path(settings.BASES.get(name, ""))
    if not (model / "config.json").is_file():
        known = ", ".join(sorted(n for n, p in settings.BASES.items() if (Path(p) / "config.json").is_file()))
        words = {"base": base, "known": known}
        raise BadInput(
            _("There is no base model %(base)s. BASE= is one of %(known)s, smollm2, or a Hugging Face folder.") % words
        )
    return name, model


def own_client(rows: OwnRows) -> OwnClient:
    choices = {
        "criteria": {
            "metrics": ["accuracy", "f1_macro"],
            "output": {"kind": "label", "labels": list(rows.categories)},
        }
    }
    return OwnClient("own-data", "Own Data", "sorting", "Europe/London", choices, own=rows)


def _describe(rows: OwnRows, folder: Path) -> str:
    first, second = map(len, rows.drops)
    return (
        f"{folder}: {len(rows.categories)} categories, {first} + {second} rows to train on,"
        f" {len(rows.heldout)} to judge by, {len(rows.traffic)} questions for the traffic"
    )


def _play(stage: OwnStage) -> list[acts.Act]:
    return acts.played(
        lambda: acts.first_version(stage, "promoted"),
        lambda: _as_fair(acts.retrain(stage, "promoted: retrain on new data", "v2", "succeeded")),
    )


def _as_fair(act: acts.Act) -> acts.Act:
    return replace(act, expected=act.verdict) if act.verdict in FAIR else act


def _marks(stage: OwnStage, played: list[acts.Act], model: Path, scratch: Path) -> dict[str, float]:
    """Accuracy on the held-out rows by who answered, 0..1."""
    own = stage.client.own
    train = [*own.drops[0], *own.drops[1]]
    bar = stage.display.progress
    task = bar.add_task("base, not trained", total=1.0, client=stage.client.slug)

    def tell(share: float, note: str) -> None:
        bar.update(task, completed=share, description=f"base, not trained: {note}"[:70])

    marks = {"majority label": yardsticks.majority(train, own.heldout)}
    marks |= {"TF-IDF + logistic regression": yardsticks.tfidf(train, own.heldout)}
    max_tokens = Criteria().max_answer_tokens
    marks |= {"base, not trained": yardsticks.untrained(model, own.cases(), scratch, max_tokens, tell)}
    return marks | {name: value for act in played for name, value in _measured(stage, act)}


def _measured(stage: OwnStage, act: acts.Act) -> Iterator[tuple[str, float]]:
    outputs = {done["stage"]: done["output"] for done in stage.api.run(act.run)["stages"]}
    found = outputs.get("evaluate", {}).get("metrics", {}).get("accuracy", {}).get("candidate")
    if found is not None:
        yield str(act.version), float(found)


def _phases(stage: OwnStage, played: list[acts.Act]) -> dict[str, dict[str, float]]:
    """Seconds of each stage of each run."""
    return {
        str(act.version): {
            done["stage"]: _seconds(done["started_at"], done["finished_at"])
            for done in stage.api.run(act.run)["stages"]
            if done["finished_at"]
        }
        for act in played
    }


def _seconds(start: str, end: str) -> float:
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds(), 1)


def _table(marks: dict[str, float], n: int) -> Table:
    table = Table(title=f"Accuracy on {n} held-out rows")
    table.add_column("answers by")
    table.add_column("accuracy", justify="right")
    for name, value in marks.items():
        table.add_row(name, f"{value:.3f}")
    return table


def _say_rejection(display: Display, played: list[acts.Act]) -> None:
    for act in played:
        if act.verdict == "rejected":
            display.say(f"{act.version} was rejected, a fair result: {act.reason}. The version before stays.")
