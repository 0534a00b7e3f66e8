"""Artifacts over time: collected by policy, never what serves or is needed; verified, exported; folder or S3."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from agency.backup import archive
from agency.leaving.erasing import carry_out
from agency.leaving.export.archive import client_archive, write
from agency.leaving.person.forget import forget
from agency.leaving.person.needle import Needle
from pipelines import keeping
from pipelines.actions.clients.erasure import order_erasure
from pipelines.artifacts import ArtifactDamaged, ArtifactMissing, Store, parts_of, store_of
from pipelines.artifacts import remote as remotes
from pipelines.domain.change.fate import Why
from pipelines.models import DatasetVersion, Job, ModelVersion, Placement, Rollout, Route
from pipelines.storage.caching import sweep_drafts, trim_cache
from pipelines.storage.kept import kept_page
from tenants import scope
from tenants.models import AuditEvent, Client, Pipeline
from tests import factories
from tests.conftest import Clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def pipeline(acorn: Client) -> Iterator[Pipeline]:
    made = factories.make_pipeline(acorn)
    with factories.inside(made):
        yield made


def aged(store: Store, body: bytes, days: float, now: Any) -> str:
    digest = store.put_bytes(body)
    at = (now - timedelta(days=days)).timestamp()
    os.utime(store.path(digest), (at, at))
    return digest


def with_weights(pipeline: Pipeline, clock: Clock, count: int, days: float = 200) -> list[ModelVersion]:
    """Versions that were in production one after the other, long ago; the last one is still."""
    store, found = store_of(pipeline.client_id), []
    for number in range(1, count + 1):
        version = factories.make_production(pipeline, now=factories.NOW).model_version
        version.gguf_digest = aged(store, f"weights {number}".encode(), days, clock.now)
        version.created_at = version.promoted_at = clock.now - timedelta(days=days - number)
        version.status = "archived" if number < count else "production"
        version.save()
        found.append(version)
    Placement.objects.filter(version__in=found[:-2]).delete()
    return found


def keep(client: Client, versions: int, days: int) -> None:
    client.keep_versions, client.keep_days = versions, days
    client.save()


def test_weights_beyond_the_policy_go_and_the_ledger_says_which(pipeline: Pipeline, clock: Clock) -> None:
    versions = with_weights(pipeline, clock, 5)
    Rollout.objects.exclude(version=versions[-1]).update(status="retired")
    Rollout.objects.filter(version=versions[-1]).update(previous=versions[-2])
    keep(pipeline.client, 2, 30)

    gone = keeping.collect(pipeline.client, clock.now)

    assert set(gone.digests) == {version.gguf_digest for version in versions[:3]}
    store = store_of(pipeline.client_id)
    assert [store.has(version.gguf_digest) for version in versions] == [False, False, False, True, True]
    assert AuditEvent.objects.get(verb="artifacts.collect").detail["bytes"] == gone.size_bytes
    assert keeping.collect(pipeline.client, clock.now).digests == ()


def test_a_version_that_stands_on_a_host_keeps_its_weights(pipeline: Pipeline, clock: Clock) -> None:
    versions = with_weights(pipeline, clock, 4)
    keep(pipeline.client, 1, 1)
    host = versions[-1].placements.get().host
    Placement.of(versions[0], version=versions[0], host=host, model_name="x", placed_at=clock.now).save()

    keeping.collect(pipeline.client, clock.now)

    assert store_of(pipeline.client_id).has(versions[0].gguf_digest)


def with_lora(version: ModelVersion, base: str, lora: str) -> None:
    """The base's file, and an adapter apart from it."""
    version.gguf_digest, version.lora_digest = base, lora
    version.save()


def test_the_bases_file_stays_while_another_pipeline_serves_it(pipeline: Pipeline, clock: Clock) -> None:
    """With adapters apart it has one digest for all pipelines of a client."""
    store = store_of(pipeline.client_id)
    base, old, serving = (aged(store, body, 200, clock.now) for body in (b"base", b"old adapter", b"serving adapter"))
    never = factories.make_run(pipeline, at=factories.DONE).model_version
    never.status, never.created_at = "archived", clock.now - timedelta(days=200)
    with_lora(never, base, old)
    Placement.objects.filter(version=never).delete()
    Rollout.objects.filter(version=never).update(status="retired")
    Route.objects.filter(pipeline=pipeline).delete()
    other = factories.make_pipeline(pipeline.client, "letters")
    with_lora(factories.make_production(other).model_version, base, serving)
    keep(pipeline.client, 1, 30)

    assert keeping.plan(pipeline.client, clock.now) == [old]
    [line] = kept_page(pipeline.client, pipeline, clock.now).lines
    assert line.fate.why is Why.GOES


def test_what_a_live_run_names_stays(pipeline: Pipeline, clock: Clock) -> None:
    versions = with_weights(pipeline, clock, 4)
    keep(pipeline.client, 1, 1)
    run = factories.make_run(pipeline, at="evaluate", status="waiting")
    Job.of(run, run=run, stage="evaluate", kind="replay:1", queue="cpu", created_at=clock.now, due_at=clock.now,
           spec={"files": [{"weights": versions[0].gguf_digest}]}).save()  # fmt: skip

    keeping.collect(pipeline.client, clock.now)

    assert store_of(pipeline.client_id).has(versions[0].gguf_digest)


def test_what_no_row_names_goes_after_two_days_and_what_one_names_stays(pipeline: Pipeline, clock: Clock) -> None:
    store = store_of(pipeline.client_id)
    run = factories.make_run(pipeline, at="evaluate")
    dataset = DatasetVersion.objects.get(run=run)
    dataset.digest = aged(store, b"rows", 300, clock.now)
    dataset.save()
    orphan, young = aged(store, b"nobody's", 3, clock.now), aged(store, b"just put", 1, clock.now)

    gone = keeping.collect(pipeline.client, clock.now).digests

    assert gone == (orphan,)
    assert store.has(dataset.digest) and store.has(young)


def test_drafts_of_killed_workers_are_swept_by_age(pipeline: Pipeline, clock: Clock) -> None:
    incoming = store_of(pipeline.client_id).root / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    for name, days in (("old", 2), ("under-way", 0.1)):
        (incoming / name).write_bytes(b"half")
        at = (clock.now - timedelta(days=days)).timestamp()
        os.utime(incoming / name, (at, at))

    sweep_drafts(clock.now)

    assert [path.name for path in incoming.iterdir()] == ["under-way"]


def test_the_command_verifies_and_collects(pipeline: Pipeline, clock: Clock, tmp_path: Path, capsys: Any) -> None:
    store = store_of(pipeline.client_id)
    kept = factories.make_production(pipeline).model_version
    kept.gguf_digest = store.put_bytes(b"weights")
    kept.save()
    orphan = aged(store, b"nobody's", 3000, clock.now)

    call_command("artifacts", "verify", "acorn")
    call_command("artifacts", "gc", "acorn", "--dry-run")
    assert store.has(orphan) and orphan in capsys.readouterr().out
    call_command("artifacts", "keep", "acorn", "--versions", "3", "--days", "10")
    call_command("artifacts", "gc", "acorn")
    assert not store.has(orphan)

    for wrong in (
        ["keep", "acorn", "--versions", "0", "--days", "1"],
        ["verify", "nobody"],
    ):
        with pytest.raises(CommandError):
            call_command("artifacts", *wrong)
    store.path(kept.gguf_digest).write_bytes(b"flipped")
    with pytest.raises(CommandError, match="damaged"):
        call_command("artifacts", "verify", "acorn")


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    made = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    made.start()
    host, port = made.get_host_and_port()
    yield f"http://{host}:{port}"
    made.stop()


@pytest.fixture
def bucket(s3_endpoint: str, settings: Any) -> Iterator[Any]:
    settings.ARTIFACTS_S3 = {
        "bucket_name": "weights",
        "endpoint_url": s3_endpoint,
        "region_name": "us-east-1",
        "access_key": "test",
        "secret_key": "test",
    }
    remotes._storage.cache_clear()
    found = remotes._storage().bucket
    found.create()
    yield found
    found.objects.all().delete()
    found.delete()
    remotes._storage.cache_clear()


def wipe(store: Store, digest: str) -> None:
    (store.root / "sha256" / digest[:2] / digest).unlink()


def test_what_is_put_lies_in_the_bucket_and_comes_back_to_an_empty_folder(bucket: Any, acorn: Client) -> None:
    store = store_of(acorn.pk)
    digest = store.put_bytes(b"weights" * 1000)
    store.put_beside(digest, "version.yaml", b"card")

    keys = sorted(found.key for found in bucket.objects.all())
    wipe(store, digest)

    place = f"clients/{acorn.pk}/sha256/{digest[:2]}/{digest}"
    assert keys == [place, f"{place}.version.yaml"]
    assert store.has(digest) and [found for found, _at in store.listed()] == [digest]
    assert store.verified(digest).read_bytes() == b"weights" * 1000
    with pytest.raises(ArtifactMissing):
        store.path("0" * 64)


# A process of its own: in this one the bucket itself holds what was put.
FETCH = """
import resource, sys
import django
django.setup()
from django.conf import settings
from pathlib import Path
settings.ARTIFACTS_S3, settings.ARTIFACTS = eval(sys.argv[1]), Path(sys.argv[2])
from pipelines.artifacts import store_of
store = store_of(int(sys.argv[3]))
store.has("0" * 64)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(store.path(sys.argv[4]).stat().st_size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_weights_of_any_size_come_through_a_few_megabytes_of_memory(
    bucket: Any, acorn: Client, settings: Any, tmp_path: Path
) -> None:
    body = bytes(200 * 2**20)
    digest = hashlib.sha256(body).hexdigest()
    bucket.put_object(Key=f"clients/{acorn.pk}/sha256/{digest[:2]}/{digest}", Body=body)

    words = [repr(settings.ARTIFACTS_S3), str(tmp_path / "another machine"), str(acorn.pk), digest]
    told = subprocess.run([sys.executable, "-c", FETCH, *words], capture_output=True, text=True, check=True).stdout

    fetched, grown_kib = map(int, told.split())
    assert fetched == len(body) and grown_kib < 60 * 1024


def test_who_asks_while_weights_are_being_fetched_waits_for_them(
    bucket: Any, acorn: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, fetched, has_begun, go_on = store_of(acorn.pk), [], threading.Event(), threading.Event()
    digest = store.put_bytes(b"weights")
    wipe(store, digest)
    download = remotes.S3.download

    def slow(remote: remotes.S3, key: str, path: Path) -> None:
        fetched.append(key)
        has_begun.set()
        assert go_on.wait(10)
        download(remote, key, path)

    monkeypatch.setattr(remotes.S3, "download", slow)
    with ThreadPoolExecutor(2) as both:
        first = both.submit(store.path, digest)
        assert has_begun.wait(10)
        second = both.submit(store.path, digest)
        assert not wait([second], timeout=0.5).done
        go_on.set()
        assert first.result(10).read_bytes() == second.result(10).read_bytes() == b"weights"

    assert len(fetched) == 1 and not list((store.root / "incoming").iterdir())


def test_a_damaged_cache_is_mended_from_the_bucket_and_a_damaged_object_refused(bucket: Any, acorn: Client) -> None:
    store = store_of(acorn.pk)
    digest = store.put_bytes(b"weights")
    store.path(digest).write_bytes(b"flipped")
    assert store.verified(digest).read_bytes() == b"weights"

    wipe(store, digest)
    bucket.put_object(Key=f"clients/{acorn.pk}/sha256/{digest[:2]}/{digest}", Body=b"flipped")
    with pytest.raises(ArtifactDamaged, match="in the object store"):
        store.verified(digest)
    assert not (store.root / "sha256" / digest[:2] / digest).exists(), "nothing damaged stays in the cache"


def test_who_reads_everything_once_leaves_nothing_of_the_bucket_here(
    transactional_db: None, bucket: Any, acorn: Client, tmp_path: Path
) -> None:
    """A bucket may hold a hundred times what this machine's disk does."""
    store = store_of(acorn.pk)
    digests = [store.put_bytes(f"weights {n}".encode()) for n in range(3)]
    for digest in digests[1:]:
        wipe(store, digest)

    archive.write(tmp_path / "all.tar", factories.NOW)
    assert len(archive.check(tmp_path / "all.tar").pieces) == 4
    write(tmp_path / "acorn.tar", client_archive(acorn, factories.NOW))
    assert sorted(keeping.verify(store)) == [(digest, "") for digest in sorted(digests)]

    assert [found.digest for found in store.cached()] == digests[:1]
    assert not list((store.root / "incoming").iterdir())


def test_a_copy_that_was_damaged_here_ends_the_archive_and_is_mended(
    transactional_db: None, bucket: Any, acorn: Client, tmp_path: Path
) -> None:
    store = store_of(acorn.pk)
    digest = store.put_bytes(b"weights")
    store.path(digest).write_bytes(b"flipped")

    with pytest.raises(ArtifactDamaged, match="fetched anew: start again"):
        archive.write(tmp_path / "all.tar", factories.NOW)

    assert not list(tmp_path.glob("all.tar*"))
    archive.write(tmp_path / "all.tar", factories.NOW)


@pytest.mark.parametrize("words", [
    ("backup", "FILE"), ("leave", "export", "acorn", "FILE"), ("artifacts", "verify", "acorn"),
])  # fmt: skip
def test_a_disk_without_room_for_a_copy_is_a_sentence(
    bucket: Any, acorn: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    store = store_of(acorn.pk)
    wipe(store, store.put_bytes(b"weights"))

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(remotes.S3, "download", full)
    with pytest.raises(CommandError, match="No room for an artifact"):
        call_command(*(word.replace("FILE", str(tmp_path / "out.tar")) for word in words), stdout=StringIO())
    assert not (tmp_path / "out.tar").exists()


def test_clients_never_share_and_what_is_removed_is_removed_in_both_places(
    bucket: Any, acorn: Client, birch: Client
) -> None:
    digest = store_of(acorn.pk).put_bytes(b"weights")

    assert not store_of(birch.pk).has(digest)
    store_of(acorn.pk).remove(digest)

    assert not store_of(acorn.pk).has(digest) and not list(bucket.objects.all())


def test_the_cache_drops_what_was_used_longest_ago_and_never_what_a_live_run_reads(
    bucket: Any, pipeline: Pipeline, clock: Clock, settings: Any
) -> None:
    production = factories.make_production(pipeline).model_version
    run = factories.make_run(pipeline, at="evaluate")
    store = store_of(pipeline.client_id)
    old, newer, live, judged, fresh = (aged_use(store, bytes([n]) * 1000, 9 - n, clock) for n in range(5))
    os.utime(store._place(fresh), (clock.now.timestamp(),) * 2)
    Job.objects.filter(run=run).update(result={"digest": live})
    ModelVersion.objects.filter(pk=production.pk).update(gguf_digest=judged)
    settings.ARTIFACTS_CACHE_BYTES = 4000

    assert trim_cache(clock.now) == 1
    assert not store._place(old).exists() and store._place(newer).exists()
    settings.ARTIFACTS_CACHE_BYTES = 10
    assert trim_cache(clock.now) == 1, "one is named by the live run, one is what it is measured by, one is in hand"
    assert {path.name for path in store.root.glob("sha256/??/*")} == {live, judged, fresh}
    assert store.verified(old).read_bytes() == bytes(1000), "the bucket has it still"


def test_a_folder_that_is_all_there_is_is_never_trimmed(pipeline: Pipeline, clock: Clock, settings: Any) -> None:
    store = store_of(pipeline.client_id)
    only = aged_use(store, b"weights", 900, clock)
    settings.ARTIFACTS_CACHE_BYTES = 1
    assert trim_cache(clock.now) == 0 and store.verified(only)


def test_whoever_drops_a_copy_second_frees_nothing(bucket: Any, acorn: Client) -> None:
    store = store_of(acorn.pk)
    digest = store.put_bytes(b"weights")

    assert [store.drop(digest), store.drop(digest)] == [7, 0]


def test_what_the_bucket_lost_stays_in_the_cache(bucket: Any, pipeline: Pipeline, clock: Clock, settings: Any) -> None:
    store = store_of(pipeline.client_id)
    last = aged_use(store, b"the last copy", 900, clock)
    bucket.objects.all().delete()
    settings.ARTIFACTS_CACHE_BYTES = 1
    assert trim_cache(clock.now) == 0 and store.verified(last)


def aged_use(store: Store, body: bytes, days: float, clock: Clock) -> str:
    digest = store.put_bytes(body)
    at = (clock.now - timedelta(days=days)).timestamp()
    os.utime(store._place(digest), (at, at))
    return digest


@pytest.fixture
def machine(settings: Any, tmp_path: Path) -> Callable[[str], None]:
    """From then on this process is another machine: the same bucket behind a cache of its own."""

    def go_to(name: str) -> None:
        settings.ARTIFACTS = tmp_path / name

    return go_to


def test_what_another_machine_has_just_put_is_nobodys_orphan(
    bucket: Any, pipeline: Pipeline, machine: Callable[[str], None]
) -> None:
    machine("headquarters")
    digest = store_of(pipeline.client_id).put_bytes(b"an archive that is being brought in")
    machine("ticker")

    assert keeping.plan(pipeline.client, timezone.now()) == []
    assert keeping.plan(pipeline.client, timezone.now() + timedelta(days=3)) == [digest]


def test_caches_of_other_machines_lose_a_client_that_is_erased(
    bucket: Any, acorn: Client, birch: Client, machine: Callable[[str], None], settings: Any
) -> None:
    machine("worker")
    for client in (acorn, birch):
        store_of(client.pk).put_bytes(b"weights")
    parts_of(acorn.pk, 7).put_bytes(b"a piece")
    machine("headquarters")
    with scope.agency_scope(acorn.agency_id):
        said = {"actor": "ann", "reason": "the contract ended", "now": timezone.now()}
        done = carry_out(order_erasure(acorn, acorn.name, **said), timezone.now())
    assert "artifacts trim" in done.facts["not_reached"]
    machine("worker")
    assert (settings.ARTIFACTS / "clients" / str(acorn.pk)).exists()

    assert trim_cache(timezone.now()) == 2

    left = {path.relative_to(settings.ARTIFACTS).parts[:2] for path in settings.ARTIFACTS.rglob("*") if path.is_file()}
    assert left == {("clients", str(birch.pk))}


def test_caches_of_other_machines_lose_what_was_removed_on_purpose_and_keep_the_last_copy(
    bucket: Any, pipeline: Pipeline, machine: Callable[[str], None], clock: Clock
) -> None:
    machine("worker")
    store = store_of(pipeline.client_id)
    bodies = (b'{"text": "I am Ines"}', b"nobody's", b'{"text": "lost"}', b"Ines, put again")
    hers, _orphan, lost, again = (store.put_bytes(body) for body in bodies)
    run = factories.make_run(pipeline, at="evaluate", status="cancelled")
    DatasetVersion.objects.filter(run=run).update(digest=hers, manifest=lost)
    machine("ticker")
    forget(pipeline.client, Needle("Ines"), actor="ann", reason="she asked", now=clock.now)
    keeping.collect(pipeline.client, timezone.now() + timedelta(days=3))
    store_of(pipeline.client_id).put_bytes(b"Ines, put again")
    store_of(pipeline.client_id).remove(lost)
    machine("worker")

    assert trim_cache(clock.now) == 2

    assert {path.name for path in store_of(pipeline.client_id).root.glob("sha256/??/*")} == {lost, again}


def test_a_folder_that_is_all_there_is_keeps_what_no_client_owns(acorn: Client, clock: Clock) -> None:
    store = store_of(acorn.pk + 1)
    digest = store.put_bytes(b"of another database")
    assert trim_cache(clock.now) == 0 and store.has(digest)
