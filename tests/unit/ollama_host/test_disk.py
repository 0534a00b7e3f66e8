"""The host's store: what it keeps, what it lets go, and what a reader can ever see."""

from pathlib import Path

from agency.ollama_host.store import names
from agency.ollama_host.store.disk import Layer, Store
from agency.ollama_host.store.names import Name


def name(text: str) -> Name:
    found = names.parse(text)
    assert found
    return found


def store_with(folder: Path, text: str, *layers: Layer) -> Store:
    store = Store(folder)
    store.write(name(text), store.add_bytes(b"{}", "config"), layers)
    return store


def test_a_copy_has_its_sources_digest(tmp_path: Path) -> None:
    store = store_with(tmp_path, "a:v1")
    source = store.find(name("a:v1"))
    assert source
    store.copy(source, name("a:production"))
    copy = store.find(name("a:production"))
    assert copy and copy.digest == source.digest


def test_a_layer_goes_with_the_last_name_that_uses_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    layer = store.add_bytes(b"weights", "model")
    for text in ("a:v1", "b:v1"):
        store.write(name(text), store.add_bytes(b"{}", "config"), (layer,))
    for text, is_kept in (("a:v1", True), ("b:v1", False)):
        manifest = store.find(name(text))
        assert manifest
        store.delete(manifest)
        assert store.has(layer.digest) is is_kept


def test_overwriting_a_name_unlinks_what_only_its_former_content_used(tmp_path: Path) -> None:
    store = Store(tmp_path)
    former, latter = store.add_bytes(b"one", "model"), store.add_bytes(b"two", "model")
    for layer in (former, latter):
        store.write(name("a"), store.add_bytes(b"{}", "config"), (layer,))
    assert not store.has(former.digest)
    assert store.has(latter.digest)


def test_a_name_is_found_in_any_case(tmp_path: Path) -> None:
    store = store_with(tmp_path, "UPPER")
    assert store.find(name("upper"))
    assert store.find(name("other")) is None


def test_a_sweep_removes_old_leftovers_and_keeps_what_is_used_or_fresh(tmp_path: Path) -> None:
    store = store_with(tmp_path, "a", Store(tmp_path).add_bytes(b"used", "model"))
    store.temporary().write_bytes(b"half an upload")
    unused = store.add_bytes(b"unused", "model")
    store.sweep()
    assert store.has(unused.digest)
    store.sweep(older_than_s=-1)
    assert not store.has(unused.digest)
    assert sorted(path.read_bytes() for path in store.blobs.iterdir()) == [b"used", b"{}"]
