"""A base with LoRA adapters beside it, on every kind of host: sent once, told apart, in turns; refused where it is not
served. Real servers are asked where RETUNE_TEST_OLLAMA_URL names some."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.hosts import Generation, Host, HostRefused
from pipelines.hosts.naming import model_name
from pipelines.hosts.release import Release, Smoke, place
from pipelines.work.gguf_header import GgufError, check
from tests.contract.test_hosts import ASK, GREEDY, digest_of, fresh_model, host, release_of
from tests.unit.ollama_host.tiny_gguf import write_lora

__all__ = ["host"]  # The fixture of the suite over all hosts.

Apart = Callable[[Path, Path], Release]


@pytest.fixture
def apart(host: Host) -> Iterator[Apart]:
    """Releases of a base and a LoRA, under names of their own that are removed afterwards."""
    names: list[str] = []

    def make(base: Path, lora: Path, **more: object) -> Release:
        names.append(model_name("contract", secrets.token_hex(4), 1))
        return release_of(base, names[-1], lora=lora, lora_digest=digest_of(lora), **more)

    yield make
    for name in names:
        host.delete(name)


def takes_them(host: Host) -> bool:
    return host.probe().generation is not Generation.C


def test_the_base_is_sent_once_and_each_version_brings_its_adapter(host: Host, apart: Apart, tmp_path: Path) -> None:
    base, loras = fresh_model(tmp_path), [write_lora(tmp_path / f"{n}.gguf", secrets.randbelow(9999)) for n in (1, 2)]
    if not takes_them(host):
        with pytest.raises(HostRefused, match="takes no LoRA adapters any more"):
            place(host, apart(base, loras[0]), check)
        assert not host.has_blob(digest_of(base)), "nothing was sent"
        return
    smoke = (Smoke(ASK, bool, GREEDY),)

    first, second = (place(host, apart(base, lora, smoke=smoke), check) for lora in loras)

    assert first.bytes_sent == base.stat().st_size + loras[0].stat().st_size
    assert second.bytes_sent == loras[1].stat().st_size
    assert first.manifest_digest != second.manifest_digest


def test_an_adapter_acts_and_two_over_one_base_are_never_loaded_together(
    host: Host, apart: Apart, tmp_path: Path
) -> None:
    if not takes_them(host) or not hasattr(host, "url"):
        return  # generation C refuses them; the fake has no engine
    base = fresh_model(tmp_path)
    plain = release_of(base, model_name("contract", secrets.token_hex(4), 1))
    releases = [plain, *(apart(base, write_lora(tmp_path / f"{n}.gguf", n)) for n in (1, 2))]
    digests = [place(host, release, check).manifest_digest for release in releases]

    answers = []
    for release, digest in zip(releases, digests, strict=True):
        answers.append(host.chat(release.name, ASK, GREEDY).text)
        assert {digest} == set(host.resident()) & set(digests), "one process for the file that they share"
    host.delete(plain.name)

    assert len(set(answers)) == 3
    shown = host.show(releases[1].name)
    assert shown is not None and shown.adapter_digests == (releases[1].lora_digest,)
    assert shown.blob_digest == releases[1].digest


def test_a_model_in_the_place_of_an_adapter_never_reaches_the_host(host: Host, apart: Apart, tmp_path: Path) -> None:
    if not takes_them(host):
        return
    (tmp_path / "other").mkdir()
    base, wrong = fresh_model(tmp_path), fresh_model(tmp_path / "other")
    with pytest.raises(GgufError, match="adapter was expected"):
        place(host, apart(base, wrong), check)
    assert not host.has_blob(digest_of(wrong))


def test_a_name_that_carries_another_adapter_is_not_taken_for_ours(host: Host, apart: Apart, tmp_path: Path) -> None:
    if not takes_them(host):
        return
    base, lora, other = fresh_model(tmp_path), *(write_lora(tmp_path / f"{n}.gguf", n) for n in (1, 2))
    mine = apart(base, lora)
    place(host, mine, check)
    changed = release_of(base, mine.name, lora=other, lora_digest=digest_of(other))
    with pytest.raises(HostRefused, match="does not carry its own adapter"):
        place(host, changed, check)
    with pytest.raises(HostRefused, match="it carries an adapter"):
        place(host, release_of(base, mine.name), check)


def test_generation_a_refuses_what_only_its_own_engine_runs(host: Host, apart: Apart, tmp_path: Path) -> None:
    if host.probe().generation is not Generation.A:
        return
    release = apart(fresh_model(tmp_path), write_lora(tmp_path / "l.gguf"), architecture="qwen3")
    with pytest.raises(HostRefused, match="cannot load LoRA adapters over qwen3"):
        place(host, release, check)
