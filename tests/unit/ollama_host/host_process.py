"""Starts the embedded host as its users do: a process with flags that prints its URL."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running_host(store: Path, generation: str = "B", *flags: str) -> Iterator[str]:
    """The URL of a host of its own; stopped by SIGTERM, and its end must be clean."""
    command = [sys.executable, "-m", "agency.ollama_host", "--generation", generation, "--port", "0"]
    process = subprocess.Popen(
        [*command, "--store", str(store), *flags],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "RETUNE_SECRET_KEY": "never for a model process"},
    )
    assert process.stdout
    try:
        url = process.stdout.readline().strip()
        assert url.startswith("http://"), "the host did not start"
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        process.stdout.close()
