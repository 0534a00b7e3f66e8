"""What the demo shows while it works: a bar per client, and a line whenever a run gets on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

STAGES = ("trigger", "validate", "finetune", "evaluate", "compare", "deploy", "monitor")


WIDTH_IN_FILES = 150


def make_console() -> Console:
    """As wide as the terminal; in a log, wide enough for the table."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH_IN_FILES)


@contextmanager
def preparing(steps: int) -> Iterator[Callable[[str], None]]:
    """A bar for what comes before the acts; call it with the name of each step as it begins."""
    columns = (TextColumn("     set-up"), BarColumn(28), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=make_console(), transient=True) as bar:
        task = bar.add_task("", total=steps, completed=-1)

        def step(name: str) -> None:
            bar.update(task, advance=1, description=name)

        yield step


@dataclass
class Display:
    """Safe to call from several threads."""

    console: Console = field(default_factory=make_console)
    bars: dict[str, TaskID] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        columns = (
            TextColumn("{task.fields[client]:>11}"),
            BarColumn(28),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
        )
        self.progress = Progress(*columns, console=self.console, transient=True)
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def say(self, text: str) -> None:
        with self.lock:
            self.console.print(text)

    def see(self, client: str, run: dict[str, Any]) -> None:
        """Moves the client's bar, and prints a line when stage, status or reason changed."""
        job = next((j for j in run["jobs"] if j["status"] == "running"), None)
        share = float((job or {}).get("progress", {}).get("progress", 0.0)) if job else 0.0
        done = (STAGES.index(run["stage"]) + share) / len(STAGES)
        note = f"run {run['number']} {run['stage']}" + (
            f": {job['kind']} {job['progress'].get('note', '')}" if job else ""
        )
        with self.lock:
            if client not in self.bars:
                self.bars[client] = self.progress.add_task(note, total=1.0, client=client)
            self.progress.update(self.bars[client], completed=done, description=note[:70])
            line = f"run {run['number']} {run['stage']:9} {run['status']:11} {run['reason'][:150]}"
            if self.last.get(client) != line and run["status"] != "running":
                self.last[client] = line
                self.console.print(f"{client:>11}  {line}", markup=False)
