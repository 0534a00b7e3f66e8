"""An archive into an installation: new ids, same digests, nothing starts by itself; hostile and broken ones refused."""

from __future__ import annotations

import hashlib
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
from agency.leaving.bring.rows import Bringing
from agency.leaving.export.archive import agency_archive, client_archive, write
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


def test_a_route_that_is_there_twice_is_refused_and_not_tried_for_ever(archive: Path, elsewhere: Agency) -> None:
    def twice(body: bytes) -> bytes:
        [row] = [json.loads(line) for line in body.splitlines()]
        return b"\n".join(json.dumps(row | {"id": pk}).encode() for pk in (1, 2))

    with pytest.raises(BringRefused, match="contradicts another"):
        bring(forged(archive, {table("pipelines_route"): twice}), elsewhere)


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


def test_an_archive_of_several_clients_that_broke_off_is_gone_on_with(
    acorn: Client, birch: Client, elsewhere: Agency, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for client in (acorn, birch):
        factories.make_production(factories.make_pipeline(client))
    archive = tmp_path / "north.tar"
    write(archive, agency_archive(acorn.agency, timezone.now()))
    with scope.agency_scope(acorn.agency_id):  # The names are free, as in another installation.
        for number, client in enumerate((acorn, birch)):
            Client.objects.filter(pk=client.pk).update(slug=f"old-{number}")
    finish, left = Bringing.finish, [None]

    def broken(to: Bringing) -> None:
        finish(to)
        if not left:
            raise OSError("no power")
        left.pop()

    with monkeypatch.context() as patch:
        patch.setattr(Bringing, "finish", broken)
        with pytest.raises(OSError, match="no power"):
            list(bring_all(archive, elsewhere, "tests", timezone.now()))

    assert [told.slug for told in bring_all(archive, elsewhere, "tests", timezone.now())] == ["birch"]
    with scope.agency_scope(elsewhere.pk):
        assert [client.slug for client in Client.objects.order_by("slug")] == ["acorn", "birch"]
        assert Pipeline.objects.count() == 2
    with pytest.raises(BringRefused, match="has a client acorn already"):
        list(bring_all(archive, elsewhere, "tests", timezone.now()))


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


def table(name: str) -> str:
    return f"clients/acorn/tables/{name}.jsonl"


def forged(archive: Path, changes: dict[str, Callable[[bytes], bytes]]) -> Path:
    """An archive with other members, whose manifest says so; one that is changed to nothing is left out."""
    with tarfile.open(archive) as tar:
        bodies = {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
    told = json.loads(bodies.pop("manifest.json"))
    for name, change in changes.items():
        bodies[name] = change(bodies[name])
    bodies = {name: body for name, body in bodies.items() if body or name not in changes}
    told["pieces"] = {n: {"sha256": hashlib.sha256(b).hexdigest(), "size": len(b)} for n, b in bodies.items()}
    out = archive.with_name("forged.tar")
    with tarfile.open(out, "w") as new:
        for name, body in (bodies | {"manifest.json": json.dumps(told).encode()}).items():
            new.addfile(member(name, size=len(body)), io.BytesIO(body))
    return out


def saying(**other: Any) -> Callable[[bytes], bytes]:
    """Every row, or the one fact, with other values; None takes one away."""

    def change(body: bytes) -> bytes:
        try:
            rows = [json.loads(body)]
        except ValueError:
            rows = [json.loads(line) for line in body.splitlines()]
        gone = {name for name, value in other.items() if value is None}
        return b"\n".join(json.dumps({k: v for k, v in (r | other).items() if k not in gone}).encode() for r in rows)

    return change


@pytest.mark.parametrize(
    ("name", "row", "said"),
    [
        ("pipelines_run", {"status": None}, "Row 1 of pipelines_run is none: it does not say 'status'"),
        ("pipelines_run", {"status": "flying"}, "Row 1 of pipelines_run is none: status: “flying”"),
        ("pipelines_run", {"number": "one"}, "Row 1 of pipelines_run is none: number:"),
        ("pipelines_run", {"number": 2**70}, "Row 1 of pipelines_run is none: number:"),
        ("pipelines_run", {"number": float("inf")}, "Row 1 of pipelines_run is none: number:"),
        ("pipelines_run", {"created_at": 7}, "Row 1 of pipelines_run is none: created_at:"),
        ("pipelines_run", {"pipeline_id": {}}, "Row 1 of pipelines_run is none:"),
        ("pipelines_run", {"id": "1"}, "Row 1 of pipelines_run is none: A row of the archive has no number"),
        ("pipelines_datasetversion", {"batches": ["1"]}, "Row 1 of pipelines_datasetversion is none"),
        ("pipelines_datasetversion", {"batches": {"a": 1}}, "Row 1 of pipelines_datasetversion is none"),
        ("pipelines_example", {"rule": "r" * 41}, "Row 1 of pipelines_example is none: rule:"),
        ("tenants_host", {"name": "the shop"}, "Row 1 of tenants_host is none: name:"),
        ("tenants_pipeline", {"slug": "My.Pipe"}, "Row 1 of tenants_pipeline is none"),
        ("tenants_pipeline", {"slug": "my_pipe"}, "Row 1 of tenants_pipeline is none: “my_pipe” is no short name"),
        ("tenants_pipeline", {"slug": 5}, "Row 1 of tenants_pipeline is none"),
    ],
    ids=str,
)  # fmt: skip
def test_a_row_that_is_none_is_named_by_its_table_and_number(
    archive: Path, elsewhere: Agency, name: str, row: dict[str, Any], said: str
) -> None:
    changed = forged(archive, {table(name): saying(**row)})

    with pytest.raises(CommandError, match=said):
        call_command("leave", "bring", str(changed), "--agency", elsewhere.slug, "--as", "acorn-2")

    with scope.agency_scope(elsewhere.pk):
        assert not Pipeline.objects.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda _body: b"", "client.json is not in the archive"),
        (lambda _body: b"[[1, 2]]", "client.json says nothing"),
        (lambda _body: b"{", "client.json is no JSON"),
        (saying(timezone="Mars/X"), "There is no time zone “Mars/X”"),
        (saying(timezone="../../etc/passwd"), "There is no time zone"),
        (saying(timezone=None), "it does not say 'timezone'"),
        (saying(language="tlh"), "There is no language “tlh”"),
        (saying(name="a" * 201), "name: "),
        (saying(keep_days="ever"), "keep_days: "),
    ],
)
def test_a_client_that_no_page_could_show_is_refused(
    archive: Path, elsewhere: Agency, change: Callable[[bytes], bytes], said: str
) -> None:
    changed = forged(archive, {"clients/acorn/client.json": change})

    with pytest.raises(NotAnArchive, match=said):
        bring(changed, elsewhere)

    with scope.agency_scope(elsewhere.pk):
        assert not Client.objects.exists()


@pytest.mark.parametrize("name", ["acme gmbh", "acme.eu", "Acme", "-", "acme-", "a" * 61, "agency", "acme\n"])
def test_a_short_name_that_cannot_be_is_refused_with_the_way_out(archive: Path, elsewhere: Agency, name: str) -> None:
    with pytest.raises(CommandError, match=r"short name.*--as"):
        call_command("leave", "bring", str(archive), "--agency", elsewhere.slug, "--as", name)

    with scope.agency_scope(elsewhere.pk):
        assert not Client.objects.exists()


def test_an_archive_that_calls_its_client_as_none_can_be_called_comes_in_under_another_name(
    archive: Path, elsewhere: Agency
) -> None:
    def renamed(name: str, body: bytes) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
        if name == "manifest.json":
            body = body.replace(b"clients/acorn/", b"clients/acme.eu/").replace(b'"acorn":', b'"acme.eu":')
        yield member(name.replace("clients/acorn/", "clients/acme.eu/")), body

    changed = rewritten(archive, renamed)

    with pytest.raises(BringRefused, match=r"“acme.eu” is no short name.*--as"):
        list(bring_all(changed, elsewhere, "tests", timezone.now()))
    assert bring(changed, elsewhere, "acme-eu").slug == "acme-eu"


def test_a_pipeline_with_a_name_that_is_reserved_by_now_still_comes_along(archive: Path, elsewhere: Agency) -> None:
    new = bring(forged(archive, {table("tenants_pipeline"): saying(slug="audit")}), elsewhere)

    with factories.inside(new):
        assert Pipeline.objects.get().slug == "audit"
