"""One suite over every kind of host: the fake, the embedded host in three generations, and real servers if named.

RETUNE_TEST_OLLAMA_URL names real servers, separated by commas; names made there begin with deploy.invalid/contract.
"""

import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.hosts import Generation, Host, HostDown, HostRefused, open_host
from pipelines.hosts.naming import alias_name, model_name
from pipelines.hosts.release import Release, Smoke, place, retire
from pipelines.work.gguf_header import GgufError, check
from tests.unit.ollama_host.host_process import running_host
from tests.unit.ollama_host.tiny_gguf import CHATML, GO_CHATML, GUARD, write_model

REAL = [url for url in os.environ.get("RETUNE_TEST_OLLAMA_URL", "").split(",") if url]
KINDS = ["fake", "embedded-A", "embedded-B", "embedded-C", *REAL]
ASK = ({"role": "user", "content": "hello"},)
GREEDY = {"temperature": 0, "seed": 1, "num_predict": 8}


@pytest.fixture(scope="module", params=KINDS)
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("host")
    if request.param == "fake":
        yield open_host("fake", str(folder))
        return
    if request.param.startswith("http"):
        yield open_host("ollama", request.param, allow_private=True)
        return
    with running_host(folder, request.param.removeprefix("embedded-")) as url:
        host = open_host("ollama", url, allow_private=True)
        yield host
        host.close()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "v1.gguf", seed=1)


@pytest.fixture
def name(host: Host) -> Iterator[str]:
    """A version name of its own, removed afterwards."""
    found = model_name("contract", secrets.token_hex(4), 1)
    yield found
    host.delete(found)


def digest_of(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def fresh_model(folder: Path) -> Path:
    """A model no host has seen."""
    return write_model(folder / "fresh.gguf", seed=secrets.randbelow(2**31))


def release_of(path: Path, name: str, **more: object) -> Release:
    facts = {"parameters": {"num_ctx": 128}, "system": "Be kind.", "go_template": GO_CHATML, "stop": ("<|im_end|>",)}
    return Release(name, path, digest_of(path), **{**facts, "jinja": CHATML + GUARD, "architecture": "llama", **more})


def made(host: Host, model: Path, name: str) -> str:
    """Push and create the plain way; the manifest digest."""
    host.push_blob(model, digest_of(model))
    return host.create(name, digest_of(model), {"num_ctx": 128}, system="Be kind.").manifest_digest


def eventually(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False


def test_a_probe_tells_version_generation_and_latency(host: Host) -> None:
    facts = host.probe()
    assert facts.version.count(".") == 2
    assert facts.generation in Generation
    assert facts.latency_ms > 0


def test_a_loaded_model_is_listed_with_what_it_takes(host: Host, model: Path, name: str) -> None:
    made(host, model, name)
    host.preload(name)
    digest = next(tag.digest for tag in host.tags() if tag.name == name)

    (loaded,) = [one for one in host.loaded() if one.digest == digest]
    assert loaded.size_bytes > 0
    host.unload(name)
    assert eventually(lambda: digest not in {one.digest for one in host.loaded()})


def test_a_blob_is_sent_once_and_a_second_push_sends_nothing(host: Host, tmp_path: Path) -> None:
    path = fresh_model(tmp_path)
    seen: list[tuple[int, int]] = []
    size = path.stat().st_size
    assert not host.has_blob(digest_of(path))
    assert host.push_blob(path, digest_of(path), lambda sent, total: seen.append((sent, total))) == size
    assert seen[-1] == (size, size)
    assert host.has_blob(digest_of(path))
    assert host.push_blob(path, digest_of(path)) == 0


def test_bytes_that_are_not_what_they_claim_are_refused(host: Host, tmp_path: Path) -> None:
    wrong = "sha256:" + secrets.token_hex(32)
    with pytest.raises(HostRefused, match="digest mismatch"):
        host.push_blob(fresh_model(tmp_path), wrong)
    assert not host.has_blob(wrong)


def test_the_same_create_gives_the_same_manifest_digest(host: Host, model: Path, name: str) -> None:
    first = made(host, model, name)
    assert made(host, model, name) == first
    assert [tag.digest for tag in host.tags() if tag.name == name] == [first]


def test_show_tells_what_will_really_serve(host: Host, model: Path, name: str) -> None:
    made(host, model, name)
    shown = host.show(name)
    assert shown is not None
    assert shown.blob_digest == digest_of(model)
    assert shown.system == "Be kind."
    assert ("num_ctx", "128") in shown.parameters
    assert shown.adapter_digests == ()


def test_an_unknown_name_is_shown_as_none_and_does_not_answer(host: Host) -> None:
    missing = model_name("contract", "nobody", 9)
    assert host.show(missing) is None
    with pytest.raises(HostRefused, match="not found"):
        host.chat(missing, ASK, GREEDY)


def test_a_model_of_a_blob_that_is_not_there_is_refused(host: Host, name: str) -> None:
    with pytest.raises(HostRefused):
        host.create(name, "sha256:" + secrets.token_hex(32), {})
    assert host.show(name) is None


def test_an_alias_has_its_versions_digest_and_moves_by_copy(host: Host, model: Path, name: str) -> None:
    digest = made(host, model, name)
    alias = alias_name("contract", name.rpartition("/")[2].partition(":")[0])
    host.copy(name, alias)
    assert {tag.digest for tag in host.tags() if tag.name in (name, alias)} == {digest}
    host.delete(alias)
    host.delete(alias)
    assert host.show(alias) is None
    assert host.show(name) is not None


def test_a_greedy_answer_repeats_itself(host: Host, model: Path, name: str) -> None:
    made(host, model, name)
    answers = [host.chat(name, ASK, GREEDY) for _ in range(3)]
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].text
    assert all(answer.seconds > 0 for answer in answers)


def test_a_preloaded_model_is_resident_until_it_is_unloaded(host: Host, model: Path, name: str) -> None:
    digest = made(host, model, name)
    host.unload(name)
    host.preload(name)
    assert digest in host.resident()
    host.unload(name)
    assert eventually(lambda: digest not in host.resident())


def test_placing_proves_the_version_and_placing_again_sends_nothing(host: Host, name: str, tmp_path: Path) -> None:
    path = fresh_model(tmp_path)
    release = release_of(path, name, smoke=(Smoke(ASK, bool, GREEDY),))
    first = place(host, release, check)
    again = place(host, release, check)
    assert first.bytes_sent == path.stat().st_size
    assert first.blob_digest == release.digest
    assert (first.smoke_passed, first.smoke_total) == (1, 1)
    assert again.bytes_sent == 0
    assert again.manifest_digest == first.manifest_digest
    assert first.manifest_digest in host.resident()


def test_placing_goes_on_where_a_dead_worker_left_it(host: Host, name: str, tmp_path: Path) -> None:
    path = fresh_model(tmp_path)
    host.push_blob(path, digest_of(path))
    facts = place(host, release_of(path, name), check)
    assert facts.bytes_sent == 0
    assert host.show(name) is not None


def test_a_version_name_that_holds_another_file_is_never_overwritten(host: Host, name: str, tmp_path: Path) -> None:
    place(host, release_of(write_model(tmp_path / "one.gguf", seed=21), name), check)
    other = release_of(write_model(tmp_path / "other.gguf", seed=22), name)
    with pytest.raises(HostRefused, match="not what was sent"):
        place(host, other, check)


def test_a_retired_version_leaves_memory_first_and_the_others_stay(host: Host, name: str, tmp_path: Path) -> None:
    kept = model_name("contract", secrets.token_hex(4), 1)
    digests = [place(host, release_of(fresh_model(tmp_path), each), check).manifest_digest for each in (name, kept)]
    assert retire(host, name)
    assert host.show(name) is None
    assert digests[0] not in host.resident()
    assert digests[1] in host.resident()
    assert not retire(host, name), "it is gone already"
    host.copy(kept, name)
    with pytest.raises(HostRefused, match="still means the same"):
        retire(host, kept)
    host.delete(name)
    assert retire(host, kept)


def test_a_file_that_lies_about_its_length_never_reaches_the_host(host: Host, name: str, tmp_path: Path) -> None:
    path = fresh_model(tmp_path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(GgufError):
        place(host, release_of(path, name), check)
    assert not host.has_blob(digest_of(path))


def test_a_version_that_fails_its_smoke_prompts_is_refused_with_its_answer(host: Host, model: Path, name: str) -> None:
    release = release_of(model, name, smoke=(Smoke(ASK, lambda text: text == "never this", GREEDY),))
    with pytest.raises(HostRefused, match="0 of 1 smoke prompts"):
        place(host, release, check)


def test_a_prompt_other_than_the_trained_one_is_found_out(host: Host, model: Path, name: str) -> None:
    trained = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    assert place(host, release_of(model, name, prompts=((ASK, trained),)), check).bytes_sent >= 0
    if host.render(name, ASK) is None:
        return  # the fake has no template
    with pytest.raises(HostRefused, match="another prompt"):
        place(host, release_of(model, name, prompts=((ASK, "user: hello"),)), check)


def test_a_host_that_is_gone_is_down_and_not_refused(tmp_path: Path) -> None:
    with running_host(tmp_path) as url:
        pass
    with pytest.raises(HostDown) as caught:
        open_host("ollama", url, allow_private=True).probe()
    assert caught.value.permanent is False


def test_a_fake_fails_as_it_is_told_and_counts_every_effect(tmp_path: Path, model: Path) -> None:
    host = open_host("fake", str(tmp_path))
    host.fail("down")
    with pytest.raises(HostDown):
        host.probe()
    host.fail("refuse")
    with pytest.raises(HostRefused):
        host.tags()
    host.fail("")
    place(host, release_of(model, model_name("contract", "counted", 1)), check)
    place(open_host("fake", str(tmp_path)), release_of(model, model_name("contract", "counted", 1)), check)
    assert len(host.effects("blob")) == len(host.effects("create")) == 1


def test_generation_a_is_given_a_go_template_or_nothing(tmp_path: Path, model: Path) -> None:
    with running_host(tmp_path, "A") as url:
        host = open_host("ollama", url, allow_private=True)
        with pytest.raises(HostRefused, match="Go template"):
            place(host, release_of(model, model_name("contract", "plain", 1), go_template=None), check)
        place(host, release_of(model, model_name("contract", "plain", 1)), check)
        shown = host.show(model_name("contract", "plain", 1))
        assert shown is not None and shown.template == GO_CHATML
        assert ("stop", "<|im_end|>") in shown.parameters


def test_a_host_that_puts_its_own_template_in_is_found_out(tmp_path: Path) -> None:
    path = write_model(tmp_path / "unguarded.gguf", template=CHATML)
    with running_host(tmp_path / "store", "B") as url:
        host = open_host("ollama", url, allow_private=True)
        with pytest.raises(HostRefused, match="another prompt template"):
            place(host, release_of(path, model_name("contract", "unguarded", 1), jinja=CHATML), check)
