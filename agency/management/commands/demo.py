"""`manage.py demo`: two clients, four acts, by the real pipeline; then the portal stays up."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from agency.demo import acts, own_data, summary
from agency.demo.clients import COPPERLEAF, heronbrook
from agency.demo.display import Display
from agency.demo.installation import OWNER, PASSWORD, READER, Installation, installed, reenter
from agency.demo.pace import TINY, pace_of

PORT = 8420
ACTS = (4, 3)  # Of each client.
FAIR = "A fair rejection: {client} {version} on the base {base}: {reason}. The acts behind it were left out."


class Command(BaseCommand):
    help = "The main job, end to end, on this machine. --data: your own train.csv and test.csv instead of the acts."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", type=Path, help="folder with train.csv and test.csv (columns text, category)")
        parser.add_argument("--base", default="tiny", help="tiny, smollm2, or a Hugging Face folder")
        parser.add_argument("--port", type=int, default=PORT)

    def handle(self, *args: Any, **options: Any) -> None:
        var = settings.ROOT / "var" / "demo"
        if os.environ.get("RETUNE_VAR") != str(var):
            shutil.rmtree(var, ignore_errors=True)
            var.mkdir(parents=True)
            register_base(options)
            reenter(var)
        own_data.require_base(options["base"])
        if options["data"] is not None:
            own_data.require(options["data"], options["base"])
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        with installed(var, options["port"]) as installation:
            if options["data"] is not None:
                is_ok = own_data.perform(installation, options["data"], options["base"], var)
            else:
                is_ok = perform(installation, options["base"], var)
            if not is_ok:
                raise CommandError(
                    "An act ended otherwise than it should: see the table, var/demo/summary.json and var/demo/demo.log."
                )
            self.stdout.write("DEMO OK")
            if os.environ.get("DEMO_SERVE", "1") != "0":
                serve(installation, self.stdout.write)


def register_base(options: dict[str, Any]) -> None:
    """A folder given as base becomes a base model of this installation, under the name `own`."""
    folder = Path(options["base"])
    if (folder / "config.json").is_file():
        os.environ["RETUNE_BASES"] = f"own={folder.resolve()}"


def perform(installation: Installation, base: str, var: Path) -> bool:
    """Both clients side by side; True when every act ended as it should."""
    began = time.monotonic()
    base = "own" if Path(base).is_dir() else base
    clients = [heronbrook(), COPPERLEAF]
    with Display() as display, ThreadPoolExecutor(2) as pool:
        for client in clients:
            installation.add_client(client, base)
        per_s = pace_of(base).requests_per_s
        stages = [acts.Stage(installation, client, display, per_s) for client in clients]
        both = [pool.submit(play_heronbrook, stages[0]), pool.submit(play_copperleaf, stages[1])]
        told = [future.result() for future in both]
    played = [act for acts_of_one in told for act in acts_of_one]
    facts = {"base": base, "seconds": round(time.monotonic() - began, 1), "spoiled": installation.proxy.spoiled}
    summary.write(var / "summary.json", played, clients, facts)
    summary.show(display.console, played)
    for act in played:
        if act.is_fair_rejection and base != TINY:
            display.console.print(FAIR.format(client=act.client, version=act.version, base=base, reason=act.reason))
    return all(acts.ended_well(one, n, is_own_base=base == TINY) for one, n in zip(told, ACTS, strict=True))


def play_heronbrook(stage: acts.Stage) -> list[acts.Act]:
    spoiled = acts.Expected("stopped", ("validate",))
    wrong = acts.Expected("rejected", ("accuracy", "regression"))
    return acts.played(
        lambda: acts.first_version(stage, "promoted"),
        lambda: acts.retrain(stage, "promoted: retrain on new data", "v2", "succeeded"),
        lambda: acts.without_traffic(stage, "stopped: a spoiled batch", "malformed", spoiled),
        lambda: acts.without_traffic(stage, "blocked: wrong labels", "mislabelled", wrong),
    )


def play_copperleaf(stage: acts.Stage) -> list[acts.Act]:
    in_canary = acts.Fault("deploy", "slow", "canary", "slow")
    by_monitor = acts.Fault("monitor", "failing", "monitor", "error")
    slow, failing = "rolled back in the canary: slow answers", "rolled back by the monitor: failing answers"
    return acts.played(
        lambda: acts.first_version(stage, "rolled back"),
        lambda: acts.retrain(stage, slow, "v2", "rolled_back", in_canary),
        lambda: acts.retrain(stage, failing, "v3", "rolled_back", by_monitor),
    )


def serve(installation: Installation, say: Any) -> None:
    say(f"The portal stays up at {installation.url}/ until Ctrl-C.")
    say(f"Staff: {OWNER}   a client's reader: {READER}   password of both: {PASSWORD}")
    try:
        while not installation.group.dead():
            time.sleep(1.0)
    except KeyboardInterrupt:
        say("Stopping.")
