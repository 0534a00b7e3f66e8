"""The wire's small print: Go's durations, JSON and times, option types, and GGUF headers that lie."""

import struct
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agency.ollama_host import options
from agency.ollama_host.store.gguf import Generation, human_count, read
from agency.ollama_host.wire import Refused, encode, keep_alive_s, rfc3339
from tests.unit.ollama_host.tiny_gguf import write_model

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), (0, 0), (300, 300), (-1, float("inf")), ("5m", 300), ("1h30m", 5400), ("250ms", 0.25), ("0", 0)],
)
def test_keep_alive_is_seconds_or_a_go_duration(value: object, seconds: float | None) -> None:
    assert keep_alive_s(value) == seconds


@pytest.mark.parametrize(
    ("value", "text"),
    [("300", 'time: missing unit in duration "300"'), ("abc", 'time: invalid duration "abc"'), (True, "Unsupported")],
)
def test_a_bad_keep_alive_is_refused_in_gos_words(value: object, text: str) -> None:
    with pytest.raises(Refused, match=text) as caught:
        keep_alive_s(value)
    assert caught.value.status == 400


def test_json_is_escaped_as_go_escapes_it() -> None:
    assert encode({"a": "<b> & é"}) == b'{"a":"\\u003cb\\u003e \\u0026 \xc3\xa9"}'


def test_times_are_rfc_3339_without_trailing_zeros() -> None:
    assert rfc3339(datetime(2026, 1, 2, 3, 4, 5, 120000, UTC)) == "2026-01-02T03:04:05.12Z"
    assert rfc3339(datetime(2026, 1, 2, 3, 4, 5, 0, UTC)) == "2026-01-02T03:04:05Z"


def test_a_requests_options_override_the_models_and_unknown_ones_are_ignored() -> None:
    found = options.merged({"temperature": 0.5, "top_k": 3}, {"temperature": 0, "seed": 4.9, "nonsense": 1})
    assert (found["temperature"], found["top_k"], found["seed"]) == (0, 3, 4)
    assert "nonsense" not in found


@pytest.mark.parametrize(
    ("name", "value", "kind"), [("temperature", "hot", "float32"), ("seed", "x", "integer"), ("stop", "x", "array")]
)
def test_an_option_of_the_wrong_type_is_a_500(name: str, value: str, kind: str) -> None:
    with pytest.raises(Refused, match=f'option "{name}" must be of type {kind}') as caught:
        options.merged({}, {name: value})
    assert caught.value.status == 500


@pytest.mark.parametrize(
    ("count", "text"), [(3672320, "3.67M"), (8_030_000_000, "8.0B"), (999, "999"), (1500, "1.50K")]
)
def test_counts_read_as_hosts_write_them(count: int, text: str) -> None:
    assert human_count(count) == text


def _damaged(good: bytes) -> dict[str, tuple[bytes, int, str]]:
    return {
        "text": (b"hello world", 400, "not in GGUF format"),
        "cut header": (good[:100], 500, "EOF"),
        "cut data": (good[:-1], 500, "exceeds file size"),
        "2^62 tensors": (good[:8] + struct.pack("<Q", 2**62) + good[16:], 500, "failed to read tensor name"),
        "2^62 keys": (good[:16] + struct.pack("<Q", 2**62) + good[24:], 500, "GGUF string length|EOF|invalid type"),
        "reversed magic": (b"FUGG" + good[4:], 500, "GGUF string length"),
    }


@pytest.mark.parametrize("damage", ["text", "cut header", "cut data", "2^62 tensors", "2^62 keys", "reversed magic"])
def test_a_header_that_lies_is_refused_without_reading_what_it_declares(tmp_path: Path, damage: str) -> None:
    good = write_model(tmp_path / "good.gguf").read_bytes()
    data, status, text = _damaged(good)[damage]
    (tmp_path / "bad.gguf").write_bytes(data)
    with pytest.raises(Refused, match=text) as caught:
        read(tmp_path / "bad.gguf", Generation.B)
    assert caught.value.status == status


def test_a_whole_header_is_read(tmp_path: Path) -> None:
    header = read(write_model(tmp_path / "good.gguf"), Generation.B)
    assert (header.architecture, header.kind, header.file_type) == ("llama", "model", "F32")
    assert header.of_architecture("context_length") == 256
    assert len(header.tensors) == 12


def test_neither_the_host_nor_its_clients_bring_django_into_their_process() -> None:
    ours = ("agency.ollama_host.serve", "pipelines.hosts.ollama", "pipelines.hosts.fake", "pipelines.hosts.release")
    modules = ", ".join(ours)
    program = f"import sys, {modules}; print(sorted({{'django', 'celery', 'redis'}} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == "[]"
