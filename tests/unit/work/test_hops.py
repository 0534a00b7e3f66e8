"""Where quality went: the same cases from the base model to the host."""

from pathlib import Path

import pytest

from pipelines.hosts.fake import FakeHost
from pipelines.work.gguf_header import check
from tests.unit.work.test_evaluate import case, write
from tests.unit.work.tiny_base import work


@pytest.fixture
def spec(line, tmp_path):
    cases = write(tmp_path / "task.jsonl", [case(100 + i) for i in range(24)])
    return {
        "base": line.base,
        "adapter": line.adapter,
        "shipped": line.q4,
        "sets": [{"name": "heldout", "kind": "task", "path": cases, "metrics": ["accuracy"], "max_tokens": 8}],
        "out": tmp_path / "out",
    }


def on_fake_host(folder: Path, answer: str) -> dict:
    host = FakeHost(f"fake://{folder}")
    gguf = folder / "any.gguf"
    gguf.write_bytes(b"any")
    import hashlib

    digest = f"sha256:{hashlib.sha256(b'any').hexdigest()}"
    host.push_blob(gguf, digest)
    host.create("m:v1", digest, {})
    host.answer_with("m:v1", answer)
    names = {"names": {"host": "m:v1"}, "digests": {"host": digest}}
    return {"kind": "fake", "url": f"fake://{folder}", "allow_private": True, "label": "fake host", **names}


def test_a_loss_shows_at_the_hop_where_it_happened(spec, tmp_path):
    found = work(tmp_path, "hops", **spec, host=on_fake_host(tmp_path / "host", "billing"))
    hops = {hop["name"]: hop for hop in found["hops"]}
    assert list(hops) == ["base", "adapter", "merged", "quantised", "host"]
    assert hops["base"]["metrics"]["accuracy"] <= 0.1
    assert hops["adapter"]["metrics"]["accuracy"] >= 0.9
    assert hops["adapter"]["won"] - hops["adapter"]["lost"] == hops["adapter"]["right"] - hops["base"]["right"]
    assert hops["merged"]["alike"] >= 23
    assert hops["host"]["metrics"]["accuracy"] == 0.25
    assert hops["host"]["lost"] >= 12
    assert hops["quantised"]["bytes"] < hops["merged"]["bytes"]
    assert found["n"] == 24


def test_without_a_host_the_way_ends_at_the_file(spec, tmp_path):
    found = work(tmp_path, "hops", **spec)
    assert [hop["name"] for hop in found["hops"]] == ["base", "adapter", "merged", "quantised"]
    assert check(tmp_path / "scratch" / "hops" / "adapter.gguf", expect="adapter").is_adapter
    assert found["host"] == ""


def test_an_evaluation_on_a_host_goes_by_its_adapter(line, tmp_path):
    cases = write(tmp_path / "task.jsonl", [case(100 + i) for i in range(8)])
    host = on_fake_host(tmp_path / "host", "shipping")
    host |= {"names": {"candidate": "m:v1"}, "digests": {"candidate": "x"}}
    found = work(
        tmp_path,
        "evaluate",
        candidate=line.q4,
        production=None,
        sets=[{"name": "accuracy", "kind": "task", "path": cases, "metrics": ["accuracy"]}],
        out=tmp_path / "out",
        latency={"calls": 10},
        host=host,
    )
    assert found["engine"] == "fake host"
    assert found["sets"]["accuracy"]["metrics"]["accuracy"]["candidate"] == 0.25
    assert found["latency"]["calls"] == 10
