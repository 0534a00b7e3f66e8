"""Model names of the embedded host, and the names and addresses that we let reach any host."""

import pytest

from agency.ollama_host.store import names
from pipelines.hosts import Generation, HostRefused, open_host
from pipelines.hosts.naming import alias_name, is_ours, model_name
from pipelines.hosts.versions import generation_of


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("llama", "llama:latest"),
        ("llama:7b", "llama:7b"),
        ("acorn/support:v1", "acorn/support:v1"),
        ("registry.ollama.ai/library/llama", "llama:latest"),
        ("deploy.invalid/acorn/support:v1", "deploy.invalid/acorn/support:v1"),
        ("localhost:5000/acorn/support:v1", "localhost:5000/acorn/support:v1"),
        ("a" * 80, "a" * 80 + ":latest"),
        ("_x", "_x:latest"),
    ],
)
def test_a_name_gets_its_defaults_and_its_shortest_form(text: str, short: str) -> None:
    found = names.parse(text)
    assert found is not None
    assert found.short == short


@pytest.mark.parametrize(
    "text",
    ["", "a b", ".x", "x/../y", "a" * 81, "x:" + "t" * 81, "x:", "a/b/c/d", "x/", "-x", "ns.dot/x", "x@sha256:1"],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    assert names.parse(text) is None


def test_a_version_has_a_host_part_that_can_never_resolve() -> None:
    assert model_name("acorn", "support", 7) == "deploy.invalid/acorn/support:v7"
    assert alias_name("acorn", "support") == "deploy.invalid/acorn/support:production"
    assert is_ours("deploy.invalid/acorn/support:v7")
    assert not is_ours("llama:latest")


@pytest.mark.parametrize("tag", ["cloud", "local", "big-cloud", "", "UPPER", "a b", "x" * 81])
def test_tags_that_leave_the_host_or_cannot_be_reached_are_never_built(tag: str) -> None:
    with pytest.raises(HostRefused):
        alias_name("acorn", "support", tag)


@pytest.mark.parametrize(("client", "number"), [("Acorn", 1), ("a/b", 1), ("", 1), ("a.b", 1), ("acorn", 0)])
def test_slugs_and_numbers_that_make_no_name_are_refused(client: str, number: int) -> None:
    with pytest.raises(HostRefused):
        model_name(client, "support", number)


@pytest.mark.parametrize(
    ("version", "generation"),
    [
        ("0.21.0", Generation.A),
        ("0.24.0", Generation.A),
        ("0.30.0", Generation.B),
        ("0.34.0", Generation.B),
        ("0.33.0-rc2", Generation.B),
        ("0.34.1", Generation.C),
        ("1.0.0", Generation.C),
        ("0.0.0", None),
        ("built by hand", None),
    ],
)
def test_a_version_tells_its_generation(version: str, generation: Generation | None) -> None:
    assert generation_of(version) is generation


def test_a_host_below_the_minimum_version_is_refused_with_what_to_do() -> None:
    with pytest.raises(HostRefused, match=r"update it to 0\.21"):
        generation_of("0.20.9")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host.example",
        "host.example:11434",
        "http://",
        "http://user:secret@8.8.8.8",
        "http://127.0.0.1:11434",
        "http://10.1.2.3",
        "http://169.254.169.254/latest",
        "http://[::1]:11434",
        "http://[::ffff:127.0.0.1]:11434",
        "http://0.0.0.0",
    ],
)
def test_addresses_outside_the_rule_are_refused(url: str) -> None:
    with pytest.raises(HostRefused):
        open_host("ollama", url).probe()


def test_a_public_address_passes_and_a_private_one_where_it_is_allowed() -> None:
    open_host("ollama", "https://8.8.8.8:11434").close()
    open_host("ollama", "http://127.0.0.1:11434", allow_private=True).close()


def test_an_unknown_kind_of_host_raises() -> None:
    with pytest.raises(KeyError):
        open_host("carrier-pigeon", "http://8.8.8.8")
