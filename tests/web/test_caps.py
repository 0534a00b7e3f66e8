"""Caps of a client and of the agency: set by its owner, held by the database, told in a sentence."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.urls import reverse
from django.utils.timezone import now
from pydantic import ValidationError

from pipelines import actions, keeping, usage
from pipelines.actions.batches import add_examples
from pipelines.actions.elsewhere.importing import import_model
from pipelines.actions.imports import read_file, stage_file, start_import
from pipelines.artifacts import store_of
from pipelines.engine import dispatch
from pipelines.imports import Mapping
from pipelines.models import Batch, Example, Job, ModelVersion, Placement, Rollout, Run, TriggerDecision
from pipelines.triggers import consider
from tenants import actions as ground
from tenants import billing, scope
from tenants.billing import caps
from tenants.models import Agency, AuditEvent, CapKind, Client, Pipeline
from tenants.models.value import PRICES
from tests import factories

CAPS = reverse("caps")
PATIENCE_S = 2.0


def cap(agency: Agency, client: Client | None = None, **most: int) -> None:
    given = {kind: most.get(kind) for kind in CapKind.values}
    with scope.agency_scope(agency.pk):
        caps.set_caps(agency, client, given, "owner@north.example", now())


def start(pipeline: Pipeline) -> Run:
    with factories.inside(pipeline):
        return actions.start_run(pipeline, actor="ana", now=now())


def test_none_is_set_at_first_and_an_owner_sets_them_with_a_line_in_the_ledger(
    owner: Browser, viewer: Browser, acorn: Client
) -> None:
    assert "none" in viewer.get(CAPS).text

    owner.post(CAPS, {"runs": "3", "bytes": "1.5", "spend": "20.50"})

    assert caps.caps_of(acorn.agency_id, None) == {"runs": 3, "bytes": 1_610_612_736, "spend": 2050}
    with scope.agency_scope(acorn.agency_id):
        event = AuditEvent.objects.get(verb="caps.change")
    assert event.detail["changed"]["runs"] == [None, 3] and event.actor == "owner@north.example"
    owner.post(CAPS, {"runs": "4"})
    assert caps.caps_of(acorn.agency_id, None) == {"runs": 4}, "an emptied field takes its cap away"


def test_bad_numbers_are_told_and_nothing_is_saved(owner: Browser, acorn: Client) -> None:
    response = owner.post(reverse("client-caps", args=["acorn"]), {"runs": "-1", "tokens": "many"})

    assert response.status_code == 422
    assert "greater than or equal to 0" in response.text and "Enter a number" in response.text
    assert caps.caps_of(acorn.agency_id, acorn.pk) == {}


def test_used_and_cap_stand_beside_each_other(owner: Browser, acorn: Client, birch: Client) -> None:
    for client in (acorn, birch):
        start(factories.make_pipeline(client))
    cap(acorn.agency, runs=5)
    cap(acorn.agency, acorn, runs=4)

    of_all = {str(line.label): line for line in owner.get(CAPS).context["lines"]}["Live runs"]
    page = owner.get(reverse("client-caps", args=["acorn"]))
    of_one = {str(line.label): line for line in page.context["lines"]}["Live runs"]

    assert (of_all.used, of_all.most, of_all.percent) == ("2", "5", 40)
    assert (of_one.used, of_one.most, of_one.percent) == ("1", "4", 25)
    assert [client.slug for client in owner.get(CAPS).context["clients"]] == ["acorn"]


def test_a_run_above_the_clients_cap_is_refused_on_the_page_and_by_the_api(
    engineer: Browser, acorn: Client, birch: Client
) -> None:
    cap(acorn.agency, acorn, runs=1)
    start(factories.make_pipeline(acorn, "support"))
    factories.make_pipeline(acorn, "sorting")
    key = factories.make_key(acorn)

    page = engineer.post(reverse("start-run", args=["acorn", "sorting"]), {"reason": "now"})
    answer = engineer.post(
        "/rest/v1/pipelines/sorting/runs",
        {"reason": "now"},
        content_type="application/json",
        headers={"authorization": f"Bearer {key}"},
    )

    said = "This client has 1 live runs of at most 1. Let one end, or have an owner raise the cap."
    assert page.status_code == 422 and said in page.text
    assert (answer.status_code, answer.json()["error"]["message"]) == (409, said)
    assert start(factories.make_pipeline(birch)).number == 1, "another client has its own"


def test_the_agencys_cap_holds_for_all_its_clients_together_and_for_no_other_agency(
    acorn: Client, birch: Client, cedar: Client
) -> None:
    cap(acorn.agency, runs=1)
    start(factories.make_pipeline(acorn))
    with pytest.raises(actions.ActionRefused, match="The agency has 1 live runs of at most 1"):
        start(factories.make_pipeline(birch))
    assert start(factories.make_pipeline(cedar)).number == 1


def test_one_pipeline_too_many_is_refused_beside_the_form(owner: Browser, acorn: Client) -> None:
    factories.make_pipeline(acorn)
    cap(acorn.agency, acorn, pipelines=1)

    given = {"name": "Sorting", "slug": "sorting", "preset": "classification", "labels": "a\nb", "base": "tiny"}
    page = owner.post(reverse("new-pipeline", args=["acorn"]), given)
    with factories.inside(acorn), pytest.raises(ValidationError, match="has 1 pipelines of at most 1"):
        ground.create_pipeline(acorn, "Sorting", "sorting", factories.settings_body(), "ana", now())

    assert page.status_code == 422 and "This client has 1 pipelines of at most 1." in page.text
    with factories.inside(acorn):
        assert Pipeline.objects.count() == 1


def test_an_upload_that_would_not_fit_is_refused_and_leaves_no_batch(acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn)
    cap(acorn.agency, acorn, bytes=1000)
    with factories.inside(acorn):
        stage_file(pipeline, "shop", "first.jsonl", [b"x" * 600], actor="ana", now=now())
        with pytest.raises(actions.ActionRefused, match=r"keeps 0\.00 GiB of at most 0\.00"):
            stage_file(pipeline, "shop", "second.jsonl", [b"y" * 600], actor="ana", now=now())
        assert Batch.objects.count() == 1


def lines(number: int) -> bytes:
    """So many lines of 100 bytes each."""
    rows = (f'{{"input": "Where is parcel {n:04}?", "output": "delivery"}}' for n in range(number))
    return b"".join(row.ljust(99).encode() + b"\n" for row in rows)


def send(browser: Browser, client: Client, body: bytes, token: str, slug: str = "support") -> Any:
    return browser.post(
        f"/rest/v1/pipelines/{slug}/examples",
        body,
        content_type="application/x-ndjson",
        headers={"authorization": f"Bearer {factories.make_key(client)}", "idempotency-key": token},
    )


def test_rows_that_come_by_the_api_count_and_are_refused_beyond_the_cap(acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn, "support")
    cap(acorn.agency, acorn, bytes=1000)

    first, second = send(Browser(), acorn, lines(6), "one"), send(Browser(), acorn, lines(6), "two")

    assert (first.status_code, second.status_code) == (201, 409)
    assert "keeps 0.00 GiB of at most 0.00" in second.json()["error"]["message"]
    with factories.inside(pipeline):
        kept = Batch.objects.get()
        assert 590 <= kept.line_bytes <= 600 and Example.objects.count() == 6
        assert usage.used(CapKind.BYTES, acorn.agency_id, acorn.pk, now()) == kept.line_bytes


def test_a_batch_that_passes_the_cap_halfway_leaves_nothing_and_comes_in_whole_once_there_is_room(
    acorn: Client,
) -> None:
    pipeline = factories.make_pipeline(acorn, "support")
    cap(acorn.agency, acorn, bytes=60_000)

    assert send(Browser(), acorn, lines(900), "one").status_code == 409
    with factories.inside(pipeline):
        assert not Batch.objects.exists() and not Example.objects.exists()

    cap(acorn.agency, acorn, bytes=100_000)
    assert send(Browser(), acorn, lines(900), "one").status_code == 201
    with factories.inside(pipeline):
        assert Example.objects.count() == 900


def test_a_file_counts_once_and_not_its_rows_again(acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn)
    with factories.inside(acorn):
        batch = stage_file(pipeline, "shop", "rows.jsonl", [lines(5)], actor="ana", now=now())
        batch = start_import(batch, Mapping(), now=now(), by_worker=False)
        read_file(batch.pk, now)
        assert Example.objects.count() == 5
        assert usage.used(CapKind.BYTES, acorn.agency_id, acorn.pk, now()) == 500


def test_what_the_refusal_says_makes_room(acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn)
    old, _kept = [factories.make_production(pipeline).model_version for _ in range(2)]
    with factories.inside(acorn):
        old.gguf_digest, old.gguf_bytes = store_of(acorn.pk).put_bytes(b"w" * 600), 600
        old.created_at = old.promoted_at = now() - timedelta(days=400)
        old.status = "archived"
        old.save()
        Placement.objects.filter(version=old).delete()
        Rollout.objects.filter(version=old).update(status="retired")
        Rollout.objects.update(previous=None)
        batch = stage_file(pipeline, "shop", "rows.jsonl", [lines(3)], actor="ana", now=now())
        cap(acorn.agency, acorn, bytes=1000)
        with pytest.raises(actions.ActionRefused, match="Keep fewer versions"):
            stage_file(pipeline, "shop", "more.jsonl", [lines(2)], actor="ana", now=now())

        ground.set_retention(acorn, 1, 30, "ana", now())
        keeping.collect(acorn, now())

        stage_file(pipeline, "shop", "more.jsonl", [lines(2)], actor="ana", now=now())
        assert usage.used(CapKind.BYTES, acorn.agency_id, acorn.pk, now()) == 500
        Batch.objects.filter(pk=batch.pk).update(file_digest="")  # As when a person's rows are erased.
        assert usage.used(CapKind.BYTES, acorn.agency_id, acorn.pk, now()) == 200


def test_a_bases_file_counts_once_however_many_adapters_lie_apart_from_it(acorn: Client) -> None:
    base, loras = b"b" * 1000, (b"1" * 30, b"2" * 50)
    with factories.inside(acorn):
        store = store_of(acorn.pk)
        for number, lora in enumerate(loras):
            run = factories.make_production(factories.make_pipeline(acorn, f"task-{number}"))
            digests = {"gguf_digest": store.put_bytes(base), "lora_digest": store.put_bytes(lora)}
            ModelVersion.objects.filter(run=run).update(**digests, gguf_bytes=len(base) + len(lora))
            built = Job.of(run, run=run, stage="finetune", kind="build", queue="cpu", created_at=now())
            built.status, built.result = "succeeded", {"lora_bytes": len(lora)}
            built.save()

        assert usage.used(CapKind.BYTES, acorn.agency_id, acorn.pk, now()) == 1080


def test_a_model_that_somebody_brings_counts_from_its_first_moment(acorn: Client) -> None:
    pipelines = [factories.make_pipeline(acorn, slug) for slug in ("support", "sorting")]
    cap(acorn.agency, acorn, bytes=1000)
    said: Any = {"actor": "ana", "reason": "trained elsewhere", "force": True, "now": now()}
    with factories.inside(acorn):
        import_model(pipelines[0], "one.gguf", [b"GGUF" + b"1" * 596], **said)
        with pytest.raises(actions.ActionRefused, match=r"keeps 0\.00 GiB of at most"):
            import_model(pipelines[1], "two.gguf", [b"GGUF" + b"2" * 596], **said)
        assert Run.objects.get().pipeline == pipelines[0]


def test_a_result_of_a_machine_counts_and_holds_the_next_run_back(acorn: Client) -> None:
    """How large a model becomes is known when it is there: one may pass the cap, the next is not begun."""
    pipeline = factories.make_pipeline(acorn)
    run = factories.make_production(pipeline)
    with factories.inside(acorn):
        version = run.model_version
        version.gguf_digest, version.gguf_bytes = store_of(acorn.pk).put_bytes(b"w" * 600), 600
        version.save()
    cap(acorn.agency, acorn, bytes=600)

    with pytest.raises(actions.ActionRefused, match="of at most"):
        start(pipeline)


def test_no_run_begins_once_the_months_money_is_spent_and_the_next_month_has_its_own(acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn)
    done, at = factories.make_production(pipeline), now()
    with factories.inside(acorn):
        Job.objects.all().delete()
        job = Job.of(done, run=done, stage="finetune", kind="train", queue="gpu", status="succeeded", created_at=at)
        job.started_at, job.finished_at = at - timedelta(hours=2), at
        job.save()
    with scope.agency_scope(acorn.agency_id):
        billing.change_terms(acorn.agency, {"prices": PRICES | {"train_hour": "5"}}, "owner", at)
    cap(acorn.agency, acorn, spend=1000)

    with pytest.raises(actions.ActionRefused, match=r"cost 10\.00 this month of at most 10\.00"):
        start(pipeline)
    with factories.inside(acorn):
        assert actions.start_run(pipeline, actor="ana", now=usage.month_end(at)).number == done.number + 1


def test_a_trigger_that_a_cap_holds_back_says_so_in_the_ledger_and_fires_when_there_is_room(acorn: Client) -> None:
    daily = {"new_examples": None, "quality_below": None, "schedule": {"rule": "FREQ=DAILY", "at": "04:00"}}
    pipeline, other = factories.make_pipeline(acorn, triggers=daily), factories.make_pipeline(acorn, "sorting")
    cap(acorn.agency, acorn, runs=1)
    live = start(other)
    due = factories.NOW + timedelta(days=1, seconds=1)
    with factories.inside(acorn):
        look(pipeline, due)
        held = TriggerDecision.objects.get(pipeline=pipeline)
        actions.cancel(live, actor="ana", reason="room", now=due)
        look(pipeline, due + timedelta(hours=1))
        started = Run.objects.get(pipeline=pipeline)

    assert held.started is False
    assert held.reason.startswith("This client has 1 live runs of at most 1.") and "due 2026-03-04 04:00" in held.reason
    assert "held back: This client has 1 live runs of at most 1." in started.occasion["reason"]


def look(pipeline: Pipeline, at: Any) -> None:
    state = actions.runs.state_of(pipeline)
    state.due_at = at
    state.save()
    consider(state, at)


def add_pipeline(row: Pipeline) -> None:
    ground.create_pipeline(row.client, "New", f"new-{row.slug}", factories.settings_body(), "ana", now())


def add_file(row: Pipeline) -> None:
    stage_file(row, "shop", "rows.jsonl", [lines(6) + row.slug.encode()], actor="ana", now=now())


def add_rows(row: Pipeline) -> None:
    add_examples(row, lines(6).splitlines(), token=row.slug, actor="ana", now=now())


def add_model(row: Pipeline) -> None:
    weights = [b"GGUF" + row.slug.encode() * 80]
    import_model(row, "one.gguf", weights, actor="ana", reason="trained elsewhere", force=True, now=now())


# {door: what it adds one of, the cap that leaves room for one, how many there are}
DOORS: dict[str, tuple[Callable[[Pipeline], Any], CapKind, int, Callable[[], int]]] = {
    "run": (start, CapKind.RUNS, 1, Run.objects.count),
    "pipeline": (add_pipeline, CapKind.PIPELINES, 3, lambda: Pipeline.objects.count() - 2),
    "file": (add_file, CapKind.BYTES, 1000, Batch.objects.count),
    "rows": (add_rows, CapKind.BYTES, 1000, Batch.objects.count),
    "model": (add_model, CapKind.BYTES, 1000, Run.objects.count),
}


@pytest.mark.parametrize("door", DOORS)
def test_two_at_once_cannot_pass_a_cap_together(
    transactional_db: None, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits, once it has counted, for the other to count too: only a lock keeps the second from doing so."""
    add, kind, most, count = DOORS[door]
    agency = factories.make_agency("north")
    client = factories.make_client(agency, "acorn")
    rows = [factories.make_pipeline(client, slug) for slug in ("support", "sorting")]
    cap(agency, **{kind: most})
    both, refused = threading.Barrier(2), list[str]()
    usage_of, pipelines_of = usage.used, caps.pipelines_of

    def wait_for_the_other(amount: int) -> int:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.5)
        return amount

    def counted(asked: CapKind, *whose: Any) -> int:
        amount = usage_of(asked, *whose)
        return wait_for_the_other(amount) if asked is kind else amount

    monkeypatch.setattr(dispatch, "send", lambda *_: None)  # The run that came first stays live.
    monkeypatch.setattr(usage, "used", counted)
    monkeypatch.setattr(caps, "pipelines_of", lambda pk: lambda of: wait_for_the_other(pipelines_of(pk)(of)))

    def knock(row: Pipeline) -> None:
        try:
            with factories.inside(row):
                add(row)
        except (actions.ActionRefused, ValidationError) as error:
            refused.append(str(error))
        finally:
            connection.close()

    both_at_once = [threading.Thread(target=knock, args=(row,)) for row in rows]
    for thread in both_at_once:
        thread.start()
    for thread in both_at_once:
        thread.join(10 * PATIENCE_S)

    with factories.inside(client):
        assert count() == 1
    assert len(refused) == 1 and "of at most" in refused[0]
