"""Child processes: what they see, how they end, and what the parent is told."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.work.child import Limits, spawn

ROOT = Path(__file__).resolve().parents[3]
ODD = str(Path(__file__).with_name("odd_child.py"))
SECRETS = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "DJANGO_SETTINGS_MODULE", "CELERY_BROKER_URL", "EMAIL_URL")


def run(tmp_path, kind, *, limits=None, cancelled=lambda: False, module=ODD, **spec):
    lines = []
    result = spawn(
        kind,
        spec,
        scratch=tmp_path / "scratch",
        limits=limits or Limits(),
        on_line=lines.append,
        cancelled=cancelled,
        log_path=tmp_path / "log",
        module=module,
    )
    return result, lines


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(holds, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_child_sees_no_secret_and_its_own_scratch_folder(tmp_path, monkeypatch):
    for name in SECRETS:
        monkeypatch.setenv(name, "hush")
    result, _ = run(tmp_path, "environment", limits=Limits(open_files=77, file_bytes=1_000_000))
    seen = result.result
    allowed = {
        "PATH", "LANG", "VIRTUAL_ENV", "RETUNE_CONVERTER_DIR", "CUDA_VISIBLE_DEVICES", "HOME", "TMPDIR", "PYTHONPATH",
        "PYTHONUNBUFFERED", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS", "GGML_NO_BACKTRACE",
        "HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM", "LC_CTYPE",
    }  # fmt: skip
    assert set(seen["environment"]) <= allowed
    assert "hush" not in json.dumps(seen)
    assert seen["environment"]["HOME"] == seen["environment"]["TMPDIR"] == seen["folder"] == str(tmp_path / "scratch")
    assert seen["limits"] == {"RLIMIT_NOFILE": 77, "RLIMIT_FSIZE": 1_000_000}


@pytest.mark.parametrize("declared", [True, False])
def test_a_child_reaches_the_network_only_where_its_work_declares_it(tmp_path, declared):
    with socket.create_server(("127.0.0.1", 0)) as server:
        result, _ = run(tmp_path, "network", limits=Limits(network=declared), port=server.getsockname()[1])
    if not declared and "The network stays reachable" in result.log_tail:
        pytest.skip("this kernel lets nobody leave the network")
    assert result.result == {"reached": declared}


def test_noise_on_stdout_neither_hides_the_result_nor_becomes_progress(tmp_path):
    result, lines = run(tmp_path, "noise")
    assert result.result == {"fine": True}
    assert lines == [{"progress": 0.5, "note": "half", "numbers": {"step": 1}}]


@pytest.mark.parametrize("name", ["SIGKILL", "SIGABRT", "SIGSEGV"])
def test_a_child_that_dies_names_its_signal_and_the_last_lines_of_its_log(tmp_path, name):
    result, _ = run(tmp_path, "die", signal=name)
    assert (result.ok, result.permanent, result.signal_name) == (False, False, name)
    assert name in result.error
    assert "about to end" in result.error


def test_a_child_that_ends_without_a_result_is_an_error(tmp_path):
    result, _ = run(tmp_path, "silent")
    assert result.error.startswith("The work ended with exit code 0 without a result")


def test_a_child_over_its_processor_time_says_so(tmp_path):
    result, _ = run(tmp_path, "spin", limits=Limits(cpu_s=2))
    assert "processor time" in result.error


def test_a_file_over_the_limit_ends_the_child(tmp_path):
    result, _ = run(tmp_path, "file", limits=Limits(file_bytes=1_000_000))
    assert not result.ok


def test_cancelling_stops_the_child_and_all_that_it_started(tmp_path):
    lines = []
    result = spawn(
        "sleep",
        {},
        scratch=tmp_path / "scratch",
        limits=Limits(),
        on_line=lines.append,
        cancelled=lambda: bool(lines),
        log_path=tmp_path / "log",
        module=ODD,
    )
    assert result.cancelled
    assert not result.ok
    numbers = lines[0]["numbers"]
    wait_until(lambda: not is_alive(numbers["child"]) and not is_alive(numbers["grandchild"]))


def test_a_child_dies_with_its_parent(tmp_path):
    code = (
        "import sys; from pathlib import Path; from pipelines.work.child import Limits, spawn\n"
        f"spawn('sleep', {{}}, scratch=Path({str(tmp_path / 's')!r}), limits=Limits(), on_line=lambda line: "
        f"print(line['numbers']['child'], flush=True), cancelled=lambda: False, "
        f"log_path=Path({str(tmp_path / 'l')!r}), module={ODD!r})"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, text=True)
    child = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not is_alive(child))
    os.killpg(child, signal.SIGKILL)  # the signal reaches the child alone; what it started is swept here


def test_an_unknown_kind_of_work_is_a_permanent_error(tmp_path):
    result, _ = run(tmp_path, "polish", module="pipelines.work")
    assert result.permanent
    assert "There is no kind of work 'polish'" in result.error


def test_work_on_a_broken_file_answers_with_its_sentence(tmp_path):
    (tmp_path / "bad.gguf").write_bytes(b"FUGG" + bytes(40))
    result, _ = run(tmp_path, "verify", module="pipelines.work", gguf=str(tmp_path / "bad.gguf"))
    assert result.permanent
    assert result.error == "The file does not begin with GGUF (its bytes are reversed: a big-endian file)."
