"""How many of the recorded answers of real Ollama servers the embedded host gives alike, for generations A and B.

Needs a folder with recordings of real servers (`0.24.0.jsonl`, `0.33.0.jsonl`), the recorder that made them and the
comparer (`--recordings DIR` or BENCH_RECORDINGS; else the first such folder beside the project).
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from bench.report import Figure, at_least, report

ROOT = Path(__file__).resolve().parent.parent
REAL = {"A": "0.24.0", "B": "0.33.0"}
TARGETS = {f"generation_{generation.lower()}": at_least(0.95) for generation in REAL}
RECORDING_S = 600
ABSENT = "no recordings of real servers: name their folder by --recordings or BENCH_RECORDINGS"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--recordings", type=Path, help="folder of the recordings, the recorder and the comparer")
    parser.add_argument("--show", action="store_true", help="print every answer that differs")
    given = parser.parse_args()
    folder = recordings(given.recordings)
    figures: dict[str, Figure] = {}
    for generation in REAL:
        figures |= measured(folder, generation, given.show)
    report("fidelity", figures, TARGETS, given.json)


def recordings(named: Path | None = None) -> Path | None:
    """The folder that is named, or one beside the project; None where there is none."""
    named = named or (Path(os.environ["BENCH_RECORDINGS"]) if os.environ.get("BENCH_RECORDINGS") else None)
    places = [named] if named else sorted(ROOT.parent.glob("*/ollama"))
    needed = ("record.py", "compare.py", *(f"{version}.jsonl" for version in REAL.values()))
    return next((place for place in places if all((place / name).is_file() for name in needed)), None)


def measured(folder: Path | None, generation: str, is_shown: bool = False) -> dict[str, Figure]:
    key = f"generation_{generation.lower()}"
    if folder is None:
        return {key: None, f"{key}_why": ABSENT}
    with tempfile.TemporaryDirectory(prefix="retune-fidelity-") as name:
        found = compared(folder, generation, recorded(folder, generation, Path(name)))
    agree, total = (int(number) for number in found.splitlines()[-1].removeprefix("agree ").split(" of "))
    if is_shown:
        print(found)
    return {key: agree / total, f"{key}_alike": agree, f"{key}_cases": total}


def recorded(folder: Path, generation: str, scratch: Path) -> Path:
    """What a fresh embedded host answers to the recorder; its blob folder is written as the recordings write theirs."""
    out, store, again = scratch / "ours.jsonl", scratch / "store", scratch / "again"
    with kept_up(generation, store, again) as url:
        recorder = [sys.executable, str(folder / "record.py"), url, str(out)]
        environment = {**os.environ, "RESTART": f"touch {again}"}
        subprocess.run(recorder, stdout=subprocess.DEVNULL, env=environment, check=True, timeout=RECORDING_S)
    out.write_text(out.read_text().replace(str(store), "$OLLAMA_MODELS"))
    return out


def compared(folder: Path, generation: str, ours: Path) -> str:
    real = folder / f"{REAL[generation]}.jsonl"
    command = [sys.executable, str(folder / "compare.py"), str(real), str(ours)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@contextmanager
def kept_up(generation: str, store: Path, again: Path) -> Iterator[str]:
    """A host's URL. It is started anew on its port whenever the file `again` appears: A ends on some files."""
    process, url = _start(generation, store, 0)
    processes, over = [process], threading.Event()

    def keep() -> None:
        while not over.wait(0.1):
            if again.exists():
                again.unlink()
                processes.append(_start(generation, store, int(re.findall(r"\d+", url)[-1]))[0])

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        yield url
    finally:
        over.set()
        keeper.join()
        for each in processes:
            each.terminate()
            each.wait()


def _start(generation: str, store: Path, port: int) -> tuple[subprocess.Popen[str], str]:
    flags = ["--generation", generation, "--port", str(port), "--store", str(store)]
    command = [sys.executable, "-m", "agency.ollama_host", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    assert process.stdout
    url = process.stdout.readline().strip()
    while httpx2.get(f"{url}/api/version", trust_env=False).status_code != 200:
        time.sleep(0.05)
    return process, url


if __name__ == "__main__":
    main()
