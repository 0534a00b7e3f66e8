"""An archive into an installation: new ids, same digests, nothing starts by itself; hostile and broken ones refused."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import models
from django.utils import timezone

from agency.backup.manifest import NotAnArchive
from agency.leaving.bring.client import LAST, STAYS_BEHIND, BringRefused, bring_all
from agency.leaving.bring.reading import opened
from agency.leaving.export.archive import client_archive, write
from agency.leaving.tables import needs, tables
from pipelines import keeping
from pipelines.artifacts import store_of
from pipelines.models import DatasetVersion, Example, Job, ModelVersion, Placement, Route, Run
from pipelines.shipping import route as routing
from tenants import actions, scope
from tenants.billing import caps
from tenants.machines.agents import add_agent_host
from tenants.models import Agency, AuditEvent, Cap, CapKind, Client, EvalCase, Host, Pipeline
from tenants.models.owned import AgencyOwned
from tests import factories

pytestmark = pytest.mark.django_db
CASES = [{"id": "c1", "messages": [{"role": "user", "content": "Where is it?"}], "check": "", "expected": {}}]


@pytest.fixture
def archive(acorn: Client, tmp_path: Path) -> Path:
    """Acorn with a version in production and a run under way."""
    made = factories.make_pipeline(acorn)
    with factories.inside(made):
        version = factories.make_production(made).model_version
        version.gguf_digest = store_of(acorn.pk).put_bytes(b"weights of acorn")
        version.save()
        add_agent_host(acorn, "office", actor="tests", now=factories.NOW)
        actions.put_eval_set(made, "heldout", CASES, "tests", factories.NOW)
    run = factories.make_run(made, at="deploy", status="waiting")
    with factories.inside(made):
        Job.of(
            run, run=run, stage="deploy", kind="push:shop", queue="push", created_at=factories.NOW, due_at=factories.NOW
        ).save()
    write(tmp_path / "acorn.tar", client_archive(acorn, timezone.now()))
    return tmp_path / "acorn.tar"


@pytest.fixture
def elsewhere() -> Agency:
    return factories.make_agency("south")


def bring(archive: Path, agency: Agency, rename: str = "acorn-2") -> Client:
    [told] = list(bring_all(archive, agency, "tests", timezone.now(), rename))
    assert told.left_out == 0
    with scope.agency_scope(agency.pk):
        found: Client = Client.objects.get(slug=told.slug)
    return found


def test_an_archive_that_would_pass_the_agencys_cap_is_refused_and_comes_in_once_there_is_room(
    archive: Path, elsewhere: Agency
) -> None:
    cap(elsewhere, 15)  # The weights have 16 bytes.
    with pytest.raises(BringRefused, match="of at most"):
        bring(archive, elsewhere)
    with scope.agency_scope(elsewhere.pk):
        assert not ModelVersion.objects.exists() and not Run.objects.exists()

    cap(elsewhere, 2**40)
    brought = bring(archive, elsewhere)

    with scope.agency_scope(elsewhere.pk):
        assert ModelVersion.objects.filter(client=brought).exists()


def cap(agency: Agency, most: int) -> None:
    with scope.agency_scope(agency.pk):
        caps.set_caps(agency, None, {CapKind.BYTES: most}, "tests", timezone.now())


def with_routes(acorn: Client, tmp_path: Path) -> Path:
    """Acorn with two pipelines in production, each with its route."""
    for slug in ("support", "letters"):
        factories.make_production(factories.make_pipeline(acorn, slug))
    return written(acorn, tmp_path)


def written(client: Client, folder: Path) -> Path:
    write(folder / "client.tar", client_archive(client, timezone.now()))
    return folder / "client.tar"


def serials(client: Client) -> list[int]:
    with factories.inside(client):
        return sorted(Route.objects.filter(client=client).values_list("serial", flat=True))


def test_routes_of_several_pipelines_come_in_with_a_serial_each(
    acorn: Client, elsewhere: Agency, tmp_path: Path
) -> None:
    archive = with_routes(acorn, tmp_path)
    last = max(serials(acorn))

    assert serials(bring(archive, elsewhere)) == [last + 1, last + 2]


def test_a_serial_that_a_flip_took_at_the_same_moment_is_taken_anew(
    acorn: Client, elsewhere: Agency, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = with_routes(acorn, tmp_path)
    last, asked = max(serials(acorn)), routing.next_serial
    answers = iter([last])  # As it was before the flip was committed.

    monkeypatch.setattr(routing, "next_serial", lambda: next(answers, 0) or asked())

    assert serials(bring(archive, elsewhere)) == [last + 1, last + 2]


def test_a_client_with_a_cap_of_its_own_comes_in_without_it(acorn: Client, elsewhere: Agency, tmp_path: Path) -> None:
    with scope.agency_scope(acorn.agency_id):
        caps.set_caps(acorn.agency, acorn, {CapKind.BYTES: 2**40}, "tests", timezone.now())

    bring(written(acorn, tmp_path), elsewhere)

    with scope.agency_scope(elsewhere.pk):
        assert not Cap.objects.exists()


def test_what_is_the_agencys_stays_behind() -> None:
    assert {model for model in tables() if issubclass(model, AgencyOwned)} <= set(STAYS_BEHIND)


def test_nothing_needs_or_names_what_comes_last() -> None:
    named = {field.related_model for model in tables() for field in model._meta.local_fields if field.is_relation}

    assert set(LAST) <= set(tables()) and not set(LAST) & named
    assert not set(LAST) & {other for model in LAST for other in needs(model)}


def test_a_case_that_asks_what_had_trained_already_does_not_keep_the_client_here(
    acorn: Client, elsewhere: Agency, tmp_path: Path
) -> None:
    made = factories.make_pipeline(acorn)
    factories.make_production(made)
    with factories.inside(made):
        row = Example.objects.exclude(dataset=None).first()
        Example.objects.filter(pk=row.pk).update(input_digest=actions.input_digest(row.messages))
        case = {"id": "late", "messages": row.messages[:1], "check": "", "expected": {}}
        actions.put_eval_set(made, "heldout", [case], "tests", factories.NOW)

    new = bring(written(acorn, tmp_path), elsewhere)

    with factories.inside(new):
        [asked] = EvalCase.objects.values_list("input_digest", flat=True)
        assert Example.objects.exclude(dataset=None).filter(input_digest=asked).exists()


def counts(client: Client) -> dict[str, int]:
    with scope.agency_scope(client.agency_id):
        return {m._meta.db_table: m._default_manager.filter(client_id=client.pk).count() for m in tables()}


STAYS = {
    f"tenants_{name}"
    for name in ("apikey", "sharelink", "invitation", "membership", "proposal", "auditevent", "hostagent", "cap")
}


def test_every_row_comes_in_under_a_new_id_with_its_digests(archive: Path, acorn: Client, elsewhere: Agency) -> None:
    # Rows of other people, so that no id comes out the same by accident.
    factories.make_production(factories.make_pipeline(factories.make_client(elsewhere)))

    new = bring(archive, elsewhere)

    mine, theirs = counts(acorn), counts(new)
    assert {t: n for t, n in mine.items() if t not in STAYS} == {t: n for t, n in theirs.items() if t not in STAYS}
    for model, names in (
        (ModelVersion, ("gguf_digest",)),
        (DatasetVersion, ("digest",)),
        (Example, ("content_digest",)),
    ):
        assert digests(model, acorn, names) == digests(model, new, names)
    with factories.inside(new):
        pipeline = Pipeline.objects.select_related("revision").get(client=new)
        assert pipeline.revision.pipeline_id == pipeline.pk and pipeline.revision.client_id == new.pk
        version = ModelVersion.objects.get(pipeline=pipeline, number=1)
        assert store_of(new.pk).verified(version.gguf_digest).read_bytes() == b"weights of acorn"
        assert Placement.objects.get(version=version).host.client_id == new.pk
        batches = DatasetVersion.objects.values_list("batches", flat=True)
        assert all(Example.objects.filter(batch_id=int(pk)).exists() for held in batches for pk in held)


def digests(model: type[models.Model], client: Client, names: tuple[str, ...]) -> list[Any]:
    with factories.inside(client):
        return sorted(model._default_manager.filter(client_id=client.pk).values_list(*names))


def test_nothing_of_it_starts_by_itself(archive: Path, elsewhere: Agency) -> None:
    new = bring(archive, elsewhere)

    with factories.inside(new):
        assert not Host.objects.filter(is_enabled=True).exists()
        assert Pipeline.objects.get().is_paused
        assert {r.status for r in Run.objects.all()} == {"succeeded", "cancelled"}
        assert not Job.objects.filter(due_at__isnull=False).exists()
        assert Route.objects.get().candidate_id is None


def test_the_old_ledger_comes_as_a_file_that_is_kept_and_a_new_chain_names_its_head(
    archive: Path, acorn: Client, elsewhere: Agency
) -> None:
    new = bring(archive, elsewhere)

    with factories.inside(acorn):
        head = AuditEvent.objects.filter(client=acorn).order_by("-seq")[0].digest
    with factories.inside(new):
        act = AuditEvent.objects.get(client=new)
        assert (act.verb, act.seq, act.detail["head"]) == ("client.bring", 1, head)
        store = store_of(new.pk)
        acts = [json.loads(line) for line in store.verified(act.detail["ledger"]).read_text().splitlines()]
        assert acts[-1]["digest"] == head
        assert act.detail["ledger"] not in keeping.plan(new, timezone.now() + timezone.timedelta(days=4000))
    call_command("ledger", "verify")


def test_a_name_that_is_taken_is_a_clear_sentence(archive: Path, acorn: Client, elsewhere: Agency) -> None:
    before = counts(acorn)

    with pytest.raises(BringRefused, match="has a client acorn already"):
        list(bring_all(archive, elsewhere, "tests", timezone.now()))

    assert counts(acorn) == before
    with scope.agency_scope(elsewhere.pk):
        assert not Client.objects.exists()


def test_what_broke_off_is_gone_on_with(archive: Path, elsewhere: Agency, monkeypatch: pytest.MonkeyPatch) -> None:
    from agency.leaving.bring import client as bringing

    def broken(*_: Any) -> None:
        raise OSError("no power")

    with monkeypatch.context() as patch:
        patch.setattr(bringing.Bringing, "finish", broken)
        with pytest.raises(OSError, match="no power"):
            bring(archive, elsewhere)
    with scope.agency_scope(elsewhere.pk):
        half = Client.objects.get()
        assert not Pipeline.objects.exists() and half.origin["is_whole"] is False

    assert bring(archive, elsewhere).pk == half.pk
    with pytest.raises(BringRefused, match="already"):
        bring(archive, elsewhere)


def rewritten(archive: Path, change: Callable[[str, bytes], Iterator[tuple[tarfile.TarInfo, bytes]]]) -> Path:
    out = archive.with_name("changed.tar")
    with tarfile.open(archive) as tar, tarfile.open(out, "w") as new:
        for info in tar:
            for member, body in change(info.name, tar.extractfile(info).read()):  # type: ignore[union-attr]
                member.size = len(body)
                new.addfile(member, io.BytesIO(body))
    return out


def member(name: str, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (member("clients/acorn/../../etc/passwd"), "does not belong"),
        (member("/etc/passwd"), "does not belong"),
        (member("clients/acorn/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "does not belong"),
        (member("clients/acorn/files/more.bin"), "damaged"),
    ],
)
def test_an_archive_with_more_in_it_is_refused(archive: Path, extra: tarfile.TarInfo, said: str) -> None:
    def more(name: str, body: bytes) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
        if name == "SHA256SUMS":
            yield extra, b""
        yield member(name), body

    with pytest.raises(NotAnArchive, match=said), opened(rewritten(archive, more)):
        pass


def test_a_changed_byte_and_a_cut_off_end_are_refused(archive: Path, elsewhere: Agency) -> None:
    def flipped(name: str, body: bytes) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
        yield member(name), body.replace(b"weights of acorn", b"weights of birch")

    with pytest.raises(NotAnArchive, match="damaged"), opened(rewritten(archive, flipped)):
        pass
    cut = archive.with_name("cut.tar")
    cut.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(NotAnArchive, match="cut off"), opened(cut):
        pass
    with pytest.raises(CommandError, match="cut off"):
        call_command("leave", "bring", str(cut), "--agency", elsewhere.slug)
    with scope.agency_scope(elsewhere.pk):
        assert not Client.objects.exists()


def test_the_command_says_what_came(archive: Path, elsewhere: Agency, capsys: Any) -> None:
    call_command("leave", "bring", str(archive), "--agency", elsewhere.slug, "--as", "acorn-2")

    assert "acorn-2:" in capsys.readouterr().out
    with pytest.raises(CommandError, match="There is no agency"):
        call_command("leave", "bring", str(archive), "--agency", "nowhere")
