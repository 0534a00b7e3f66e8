"""The data of a pipeline on pages: files sent, looked at, imported, undone; sources; datasets beside each other."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client as Browser
from django.urls import reverse
from django.utils.timezone import now

from pipelines import actions
from pipelines.artifacts import store_of
from pipelines.models import Batch, DatasetVersion, Example, Source
from pipelines.records.dataset import write_artifacts
from tenants.models import Client, EvalSet, Pipeline
from tests import factories

HERE = ["acorn", "support"]
TABLE = b"Frage;Antwort\n" + b"".join(f"frage {n} wort {n};billing\n".encode() for n in range(12)) + b";leer\n"


@pytest.fixture
def support(acorn: Client) -> Pipeline:
    return factories.make_pipeline(acorn)


def send(browser: Browser, body: bytes, name: str = "march.csv", **fields: Any) -> Any:
    file = SimpleUploadedFile(name, body, "application/octet-stream")
    return browser.post(reverse("upload", args=HERE), {"file": file, "source": "crm"} | fields, follow=True)


def page(response: Any) -> str:
    return str(response.request["PATH_INFO"])


def decide(browser: Browser, response: Any, act: str, **fields: str) -> Any:
    """What a person sends from the page of a draft: the form as it stands, with some of it changed."""
    form = response.context["form"]
    given = {name: form[name].value() or "" for name in form.fields}
    return browser.post(page(response), given | fields | {"act": act}, follow=True)


def test_a_table_is_shown_first_then_imported_and_next_time_needs_no_question(
    engineer: Browser, support: Pipeline
) -> None:
    shown = send(engineer, TABLE)
    assert "Say which column holds the question" in shown.text
    looked = decide(engineer, shown, "look", user="Frage", label="Antwort", instruction="Antworte knapp.")
    assert "frage 0 wort 0" in looked.text and "Antworte knapp." in looked.text
    done = decide(engineer, looked, "import")
    assert "13 rows read, 1 of them in quarantine." in done.text

    again = send(engineer, TABLE.replace(b"frage", b"andere"), "april.csv")

    assert "13 rows read, 1 of them in quarantine." in again.text
    with factories.inside(support):
        assert Source.objects.get().mapping["user"] == "Frage"
        assert Example.objects.filter(rule="").count() == 24
        assert Example.objects.get(line=13, batch__source="april.csv").pointer == "/Frage"


def test_a_saved_mapping_that_does_not_fit_shows_what_is_there(engineer: Browser, support: Pipeline) -> None:
    decide(engineer, send(engineer, TABLE), "import", user="Frage", label="Antwort")

    response = send(engineer, b"Question;Answer\na;b\n", "may.csv")

    assert "The file has no column Frage, Antwort. It has: Question, Answer." in response.text
    with factories.inside(support):
        assert Batch.objects.get(source="may.csv").is_draft


def test_what_looks_right_can_be_looked_at_first(engineer: Browser, support: Pipeline) -> None:
    response = send(engineer, b'{"input": "Where?", "output": "delivery"}\n', "rows.jsonl", look="on")

    with factories.inside(support):
        assert Batch.objects.get().is_draft and not Example.objects.exists()
    assert "Where?" in response.text


def test_a_file_that_is_none_is_refused_with_a_sentence_and_can_be_forgotten(
    engineer: Browser, support: Pipeline
) -> None:
    shown = send(engineer, b"%PDF-1.7 and so on", "paper.pdf")
    assert "This is a PDF" in shown.text

    decide(engineer, shown, "discard")

    with factories.inside(support):
        assert not Batch.objects.exists()


def test_an_import_is_undone_and_brought_back_with_a_reason(engineer: Browser, support: Pipeline) -> None:
    done = decide(engineer, send(engineer, TABLE), "import", user="Frage", label="Antwort")
    with factories.inside(support):
        url = reverse("withdraw", args=[*HERE, "upload", Batch.objects.get().pk])

    refused = engineer.post(url, {"reason": " "})
    undone = engineer.post(url, {"reason": "wrong month"}, follow=True)
    back = engineer.post(url, {"reason": "it was right"}, follow=True)

    assert refused.status_code == 422 and "Undo this import" in done.text
    assert "13 rows train no more." in undone.text and "wrong month" in undone.text
    assert "13 rows are as they were before." in back.text


def test_a_source_is_trusted_less_and_held_to_a_share(engineer: Browser, support: Pipeline) -> None:
    decide(engineer, send(engineer, TABLE), "import", user="Frage", label="Antwort")
    with factories.inside(support):
        url = reverse("source", args=[*HERE, Source.objects.get().pk])

    engineer.post(url, {"trust": "low", "max_share": "20"})

    response = engineer.get(reverse("data", args=HERE))
    assert "12 wait" in response.text and "20 %" in response.text.replace("\xa0", " ").replace("20.0", "20")
    with factories.inside(support):
        assert Source.objects.get().max_share == 0.2


def test_withdrawing_a_source_names_who_learnt_from_it(engineer: Browser, support: Pipeline) -> None:
    run = factories.make_run(support, at="compare", status="rejected")
    with factories.inside(support):
        source = Source.of(support, pipeline=support, name="scraped", created_at=now())
        source.save()
        batch = Batch.objects.get()
        batch.origin = source
        batch.save()
        DatasetVersion.objects.filter(run=run).update(batches={str(batch.pk): 30})

    response = engineer.get(reverse("withdraw", args=[*HERE, "source", source.pk]))

    assert "30 rows" in response.text and ">v1<" in response.text
    assert "No version that was ever in production is without it." in response.text


def test_two_datasets_are_shown_beside_each_other(engineer: Browser, support: Pipeline) -> None:
    with factories.inside(support):
        for number, labels in ((1, b"billing returns"), (2, b"billing delivery")):
            run = factories.make_run(support, at="compare", status="rejected")
            rows = b"".join(b'{"input": "row %d", "output": "%s"}\n' % pair for pair in enumerate(labels.split()))
            batch = actions.add_examples(support, rows.split(b"\n"), token=f"n{number}", actor="tests", now=now())
            made = run.dataset
            made.parent = DatasetVersion.objects.filter(run__number=number - 1).first()
            write_artifacts(made, Example.objects.filter(batch=batch), store_of(support.client_id))
            made.save()

    response = engineer.get(reverse("dataset", args=[*HERE, 2]))

    found = response.context["difference"]
    assert (found.added, found.removed) == (1, 1)
    assert [(example.label, before) for example, before in found.relabelled] == [("delivery", "returns")]
    assert {line.name: line.change for line in found.labels} == {"billing": 0, "delivery": 1, "returns": -1}


def test_part_of_the_new_rows_is_held_out_by_label_and_never_trains(engineer: Browser, support: Pipeline) -> None:
    body = b"text,category\n" + b"".join(
        f"frage{n} wort{n} satz{n},{factories.LABELS[n % 3]}\n".encode() for n in range(60)
    )
    decide(engineer, send(engineer, body), "import")

    response = engineer.post(reverse("hold-out", args=HERE), {"share": "20", "seed": "7"}, follow=True)

    assert "The held-out set has 12 cases now (version 1)." in response.text
    with factories.inside(support):
        held = Example.objects.filter(state="evaluation")
        assert sorted(held.values_list("label", flat=True)) == sorted(factories.LABELS * 4)
        assert EvalSet.objects.get().size == 12 and Example.objects.filter(state="ready").count() == 48
