"""`python -m tools.audit`: asks OSV (osv.dev) for known weaknesses of every pinned package; `make check` runs it.

AUDIT=ask      the default: asks where the service answers, else says so and is content
AUDIT=require  fails where it could not be asked
AUDIT=off      asks nobody (`make test`: whether the code is right must not hang on what was published this morning)

A weakness fails, unless tools/audit_ignored.toml ignores it with a reason and a day; from that day on it fails again,
and the entry does too, whether the service answers or not. Asked by pip-audit, which takes one call for each package.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from tools import dependencies

IGNORED = Path(__file__).with_name("audit_ignored.toml")
SERVICE = os.environ.get("AUDIT_OSV_URL", "https://api.osv.dev/v1/query")
# Whether anybody is there shows at once; the first package alone tells whether he answers.
THERE_S, ANSWER_S, FIRST_S, ALL_S = 4, 3, 15, 300


class NotAsked(RuntimeError):
    """The service did not answer; the sentence says how."""


@dataclass(frozen=True)
class Weakness:
    """`names`: what it is called by OSV and elsewhere (CVE, GHSA, PYSEC)."""

    package: str
    version: str
    names: tuple[str, ...]
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        way_out = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "no version is told that fixes it"
        return f"{self.package} {self.version}: {', '.join(self.names)}; {way_out}."


def reach() -> None:
    """A connection and nothing more, to the proxy where one is set: pip-audit tries four times. Raises `NotAsked`."""
    parts = urlsplit(SERVICE)
    if (proxy := getproxies().get(parts.scheme)) and not proxy_bypass(parts.netloc):
        parts = urlsplit(proxy)
    port, found = parts.port or (443 if parts.scheme == "https" else 80), list[str]()

    def connect() -> None:
        try:
            socket.create_connection((parts.hostname, port), THERE_S).close()
            found.append("")
        except OSError as error:
            found.append(f"{parts.hostname}: {error}")

    # A name may take longer to resolve than any limit on the connection.
    trying = threading.Thread(target=connect, daemon=True)
    trying.start()
    trying.join(THERE_S)
    if not found or found[0]:
        raise NotAsked(found[0] if found else f"{parts.hostname}: no answer within {THERE_S} s")


def ask(pins: dict[str, str], limit_s: float) -> list[Weakness]:
    """What is known of these packages. Raises `NotAsked`."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, told = Path(folder, "pins.txt"), Path(folder, "told.json")
        wanted.write_text("".join(f"{name}=={pin}\n" for name, pin in sorted(pins.items())))
        command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner", "off"]
        command += ["-s", "osv", "--osv-url", SERVICE, "--timeout", str(ANSWER_S), "--cache-dir", folder]
        command += ["-f", "json", "-o", str(told), "-r", str(wanted)]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
        except subprocess.TimeoutExpired:
            raise NotAsked(f"no answer within {limit_s:.0f} s") from None
        try:
            return [weakness for row in json.loads(told.read_text())["dependencies"] for weakness in weaknesses(row)]
        except (OSError, ValueError):
            lines = ended.stderr.strip().splitlines() or [f"pip-audit ended with {ended.returncode}"]
            raise NotAsked(lines[-1][:300]) from None


def weaknesses(row: dict[str, Any]) -> Iterable[Weakness]:
    """Of a package as pip-audit's JSON tells it. Raises `NotAsked` of one that it passed over."""
    if "skip_reason" in row:
        raise NotAsked(f"{row['name']} was passed over: {row['skip_reason']}")
    for found in row["vulns"]:
        names = (found["id"], *sorted(found["aliases"]))
        yield Weakness(row["name"], row["version"], names, tuple(found["fix_versions"]))


def ignored(text: str, today: date) -> tuple[set[str], list[str]]:
    """The identifiers that are ignored on this day, and what is wrong with the list."""
    entries, wrong = set[str](), list[str]()
    for row in tomllib.loads(text).get("ignored", []):
        name, until = row.get("id"), row.get("until")
        if not name or not str(row.get("reason", "")).strip() or not isinstance(until, date):
            wrong.append(f"{name or 'An entry'} needs an id, a reason and a day (until = 2027-01-31).")
        elif until < today:
            wrong.append(f"{name} was ignored until {until}: look again, and take it out or give it a new day.")
        else:
            entries.add(name)
    return entries, wrong


def asked(pins: dict[str, str], spared: set[str]) -> list[str]:
    """A sentence for each weakness that is not ignored; prints how many were asked. Raises `NotAsked`."""
    reach()
    first = min(pins)
    ask({first: pins[first]}, FIRST_S)
    found = ask(pins, ALL_S)
    left = [weakness for weakness in found if not spared & set(weakness.names)]
    met = {name for weakness in found for name in weakness.names}
    print(f"{len(pins)} packages asked, {len(found)} weaknesses known, {len(found) - len(left)} ignored")
    for name in sorted(spared - met):
        print(f"{name} is ignored and known no longer: take it out of {IGNORED.name}.")
    return [str(weakness) for weakness in left]


def main() -> int:
    mode = os.environ.get("AUDIT") or "ask"
    if mode not in ("ask", "require", "off"):
        print(f"AUDIT is ask, require or off, not {mode!r}.")
        return 2
    spared, wrong = ignored(IGNORED.read_text(), date.today())
    try:
        if mode == "off":
            raise NotAsked("AUDIT=off")
        wrong += asked(dependencies.all_pins(), spared)
    except NotAsked as why:
        print(f"not asked: {why}")
        wrong += ["AUDIT=require wants an answer."] if mode == "require" else []
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
