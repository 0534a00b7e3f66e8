"""What the demo found: as a file, as a table, and as an exit code."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agency.demo.acts import Act
from agency.demo.clients import DemoClient, changed_settings


def write(path: Path, acts: list[Act], clients: list[DemoClient], facts: dict[str, Any]) -> None:
    base = facts["base"]
    changed = {client.slug: list(changed_settings(client.settings(base))) for client in clients}
    body = facts | {
        "acts": [asdict(act) | {"as_expected": act.is_as_expected} for act in acts],
        "changed_settings": changed,
    }
    path.write_text(json.dumps(body, indent=2, ensure_ascii=False) + "\n")


def show(console: Console, acts: list[Act]) -> None:
    table = Table(title="Retune demo")
    for name in ("act", "client", "version", "verdict", "why", "s", "rollback s"):
        table.add_column(name, overflow="fold")
    for act in acts:
        mark = "" if act.is_as_expected else f" (expected {act.expected})"
        back = "" if act.rollback_s is None else f"{act.rollback_s:.2f}"
        table.add_row(
            act.name, act.client, act.version or "-", act.verdict + mark, act.reason[:160], f"{act.seconds:.0f}", back
        )
    console.print(table)
