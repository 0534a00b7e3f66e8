"""The ground of every test run, laid before Django reads its settings: own folders, no network, no silent skips."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

VAR = Path(tempfile.mkdtemp(prefix="retune-tests-"))
(VAR / "static").mkdir()  # WhiteNoise warns of a missing one.
LONG = ("engines", "faults", "browser", "training")  # They start processes and wait for them.
ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.toml")
# What a developer's shell may hold must not steer the tests.
for name in [name for name in os.environ if name.startswith(("RETUNE_", "DATABASE_", "REDIS_URL"))]:
    del os.environ[name]
os.environ |= {"RETUNE_VAR": str(VAR), "RETUNE_ENGINE": "eager", "RETUNE_LOG_LEVEL": "WARNING"}


@atexit.register
def _sweep(owner: int = os.getpid()) -> None:
    if os.getpid() == owner:  # Forked children run the same hook.
        shutil.rmtree(VAR, ignore_errors=True)


class OutsideNetwork(RuntimeError):
    """A test tried to leave the machine."""


def _is_loopback(address: Any) -> bool:
    if not isinstance(address, tuple):
        return True  # A Unix socket's path.
    host = str(address[0])
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host in ("", "localhost")


def _guarded(connect: Callable[..., Any]) -> Callable[..., Any]:
    def loopback_only(sock: socket.socket, address: Any) -> Any:
        if not _is_loopback(address):
            raise OutsideNetwork(f"A test tried to connect to {address}.")
        return connect(sock, address)

    return loopback_only


@pytest.fixture(autouse=True, scope="session")
def no_outside_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", _guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", _guarded(socket.socket.connect_ex))
        yield


class SkipPolicy:
    """A skipped test fails the run unless it stands, with its reason, in tests/allowed_skips.toml."""

    def __init__(self) -> None:
        self.allowed: dict[str, str] = tomllib.loads(ALLOWED_SKIPS.read_text()).get("skips", {})
        self.refused: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self._note(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._note(report.nodeid)

    def _note(self, nodeid: str) -> None:
        if not any(nodeid.startswith(prefix) and reason.strip() for prefix, reason in self.allowed.items()):
            self.refused.append(nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.refused and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for nodeid in self.refused:
            terminalreporter.write_line(f"SKIPPED WITHOUT LEAVE (tests/allowed_skips.toml): {nodeid}", red=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--on-postgres", action="store_true", help="the same tests on a throw-away PostgreSQL")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long ones first, so that no process waits for the other at the end. On PostgreSQL what is of SQLite is
    deselected and not skipped: the plain run of the same test is the one that counts."""
    items.sort(key=lambda item: item.nodeid.split("/")[1] not in LONG)
    if not config.getoption("on_postgres"):
        return
    left_out = [item for item in items if item.get_closest_marker("sqlite_only")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sqlite_only(why): left out by --on-postgres")
    config.pluginmanager.register(SkipPolicy(), "retune-skips")
