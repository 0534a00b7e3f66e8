"""The scripts of set-up and check, and the ground of the tests themselves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.environment import OutsideNetwork, SkipPolicy
from tools import budgets, dependencies, setup_system, step
from tools.setup_system import MissingProgram, Program


def test_a_function_over_its_budget_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "ROOT", tmp_path)
    path = tmp_path / "long.py"
    path.write_text("def long():\n" + "    x = 1\n" * 50 + "\n\ndef short():\n    return 1\n")

    sizes = {size.place.split()[1]: size for size in budgets.function_sizes(path)}

    assert (sizes["long"].size, sizes["long"].is_over) == (51, True)
    assert not sizes["short"].is_over


def test_the_shape_of_all_functions_has_its_own_budget() -> None:
    short, long = budgets.Size("a", 5, 50), budgets.Size("b", 40, 50)

    assert budgets.shape_faults([short] * 19 + [long]) == []
    assert len(budgets.shape_faults([short] * 8 + [long] * 2)) == 1
    assert len(budgets.shape_faults([long] * 10)) == 2


def test_packages_count_their_modules_and_not_their_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "ROOT", tmp_path)
    paths = [tmp_path / "room" / name for name in ("__init__.py", *(f"m{n}.py" for n in range(13)))]

    [size] = budgets.package_sizes(paths)

    assert (size.place, size.size, size.is_over) == ("room", 13, True)


def test_the_newest_of_several_installed_servers_is_taken(tmp_path: Path) -> None:
    for version in ("9", "15", "16"):
        program = tmp_path / version / "bin" / "retune-no-such-server"
        program.parent.mkdir(parents=True)
        program.touch(mode=0o755)

    found = Program(("retune-no-such-server",), "package", (f"{tmp_path}/*/bin",)).find()

    assert found == tmp_path / "16" / "bin" / "retune-no-such-server"


def test_a_missing_server_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(setup_system.PROGRAMS, "postgres", Program(("retune-no-such-server",), "postgresql"))

    with pytest.raises(MissingProgram, match="install the package postgresql"):
        setup_system.find("postgres")


def test_who_may_not_install_is_told_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(MissingProgram, match="sudo apt-get install -y redis-server"):
        setup_system.install(["redis-server"])


def test_a_skipped_test_without_leave_fails_the_run() -> None:
    policy = SkipPolicy()
    policy.allowed = {"tests/a.py::test_known": "needs a GPU", "tests/b.py": ""}
    session = SimpleNamespace(exitstatus=pytest.ExitCode.OK)

    for nodeid in ("tests/a.py::test_known[1]", "tests/b.py::test_without_a_reason"):
        policy.pytest_runtest_logreport(SimpleNamespace(skipped=True, nodeid=nodeid))  # type: ignore[arg-type]
    policy.pytest_sessionfinish(session)  # type: ignore[arg-type]

    assert policy.refused == ["tests/b.py::test_without_a_reason"]
    assert session.exitstatus == pytest.ExitCode.TESTS_FAILED


def test_a_step_shows_how_much_of_a_file_is_there_and_else_that_it_works() -> None:
    told = step.Step("torch")
    told.follow(["Downloading torch.whl (200 MB)\n", "Progress 50 of 200\n"])

    assert told.drawn(65.0) == "torch  [######..................] 1:05  Downloading torch.whl (200 MB)"

    told.take("Installing collected packages\n")

    assert told.drawn(0.0) == "torch  [#####...................] 0:00  Installing collected packages"


@pytest.mark.parametrize(("code", "word"), [(0, "done"), (3, "FAILED")])
def test_a_step_ends_as_its_command_and_shows_the_output_of_one_that_failed(
    capfd: pytest.CaptureFixture[str], code: int, word: str
) -> None:
    ended = step.main(["Packages", sys.executable, "-c", f"print('no such package'); raise SystemExit({code})"])
    out, err = capfd.readouterr()

    assert ended == code
    assert f"Packages: {word} after" in out
    assert ("no such package" in err) == (code != 0)


def test_llama_cpp_is_built_without_what_the_compiler_gets_wrong() -> None:
    """With AMX the first quantised product ends in SIGSEGV; tools/install_llama.sh says why."""
    spec = find_spec("llama_cpp")
    assert spec is not None and spec.origin is not None
    library = Path(spec.origin).parent / "lib" / "libggml-cpu.so"
    has_amx = b"ggml_backend_amx_mul_mat" in library.read_bytes()
    assert not has_amx, "delete .setup/llama.done, then: make setup"


PIP = """#!/bin/sh
echo "$* $CFLAGS" >> "$ASKED"
mkdir -p "$VENV/lib/python3.11/site-packages/llama_cpp/lib"
case "$*" in *--force-reinstall*) built=plain ;; *) built=$CACHED ;; esac
echo "$built" > "$VENV/lib/python3.11/site-packages/llama_cpp/lib/libggml-cpu.so"
"""


@pytest.mark.parametrize(("cached", "installs"), [("ggml_backend_amx_mul_mat", 2), ("plain", 1)])
def test_a_kept_wheel_that_crashes_is_built_again(tmp_path: Path, cached: str, installs: int) -> None:
    for path, text in {"pip": PIP, "bin/python": '#!/bin/sh\necho "$*" >> "$ASKED"\n', "cc": "#!/bin/sh\n"}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
        (tmp_path / path).chmod(0o755)
    own = {"VENV": str(tmp_path), "ASKED": str(tmp_path / "asked"), "CACHED": cached, "CC": str(tmp_path / "cc")}

    subprocess.run(
        ["sh", "tools/install_llama.sh", "0.3.36", str(tmp_path / "pip"), "install"], env=os.environ | own, check=True
    )

    asked = (tmp_path / "asked").read_text().splitlines()
    assert len([line for line in asked if line.startswith("install")]) == installs
    assert all("-mno-amx-tile" in line for line in asked if line.startswith("install"))
    assert ("-m pip cache remove -q llama_cpp_python*" in asked) is (installs == 2)


def test_no_test_leaves_the_machine() -> None:
    with socket.socket() as sock, pytest.raises(OutsideNetwork):
        sock.connect(("192.0.2.1", 80))


STARTS_A_SERVER = """
import time
from tests.servers import redis_process
with redis_process() as url:
    print(url.rpartition(':')[2].split('/')[0], flush=True)
    time.sleep(60)
"""


def test_a_throw_away_server_ends_with_its_killed_parent() -> None:
    command = [sys.executable, "-c", STARTS_A_SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        assert _listens(port)
        os.kill(parent.pid, signal.SIGKILL)

    deadline = time.monotonic() + 20
    while _listens(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _listens(port)


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def package(name: str, version: str, **said: str) -> Any:
    fields = {"Name": name, **said}
    return SimpleNamespace(metadata=Headers(fields), version=version)


class Headers(dict[str, str]):
    def get_all(self, name: str, missing: list[str]) -> list[str]:
        return [self[name]] if name in self else missing


def test_a_package_that_is_not_the_pinned_one_is_told() -> None:
    pins = {"known": "1.0", "torch": "2.13.0"}
    good = package("Known", "1.0", **{"License-Expression": "MIT"})
    assert list(dependencies.problems(good, pins)) == []
    assert list(dependencies.problems(package("torch", "2.13.0+cpu", License="BSD"), pins)) == []
    (moved,) = dependencies.problems(package("known", "1.1", License="MIT"), pins)
    (loose,) = dependencies.problems(package("loose", "1.1", License="MIT"), pins)
    assert "pinned is 1.0" in moved and "not pinned" in loose


@pytest.mark.parametrize(
    ("licence", "is_told"),
    [
        ("LGPL-3.0-only", False),
        ("GNU Lesser General Public License v3", False),
        ("MPL-2.0 AND MIT", False),
        ("AGPL-3.0-or-later", True),
        ("GPL-2.0-only", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("Business Source License; BUSL-1.1", True),
        ("", True),
    ],
)
def test_a_licence_that_reaches_further_is_told(licence: str, is_told: bool) -> None:
    assert bool(list(dependencies.problems(package("known", "1.0", License=licence), {"known": "1.0"}))) == is_told


def test_what_is_needed_is_found_with_what_that_needs() -> None:
    found = {dependencies.canonical(one.metadata["Name"]) for one in dependencies.needed(["celery==1"])}
    assert {"celery", "kombu", "vine"} <= found
