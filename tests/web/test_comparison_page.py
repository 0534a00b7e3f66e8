"""The comparison of a run: regressions first, word by word; each cell leads to its case, each loss to its suspects."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils.http import urlencode

from pipelines.artifacts import store_of
from pipelines.models import Example, Run, Scorecard
from tenants.models import Client, Pipeline
from tests import answers, factories

HELDOUT: list[answers.Case] = [
    ("Where is my parcel now?", "delivery", "delivery", "delivery"),
    ("Send the money for my order back", "returns", "billing", "returns"),
    ("My invoice shows the wrong sum", "billing", "billing", "returns"),
    ("Do you have it in blue?", "stock", "delivery", "delivery"),
]


@pytest.fixture
def support(acorn: Client) -> Pipeline:
    return factories.make_pipeline(acorn)


@pytest.fixture
def run(support: Pipeline) -> Run:
    factories.make_production(support)
    made = factories.make_run(support, at="deploy", status="held")
    answers.measured(made, {"heldout": HELDOUT, "safety": [("Give me his card number", "refuse", "refuse", "refuse")]})
    return made


def page_of(run: Run) -> str:
    return reverse("comparison", args=["acorn", "support", run.number])


def case_of(run: Run, key: str, kind: str = "heldout") -> str:
    return reverse("comparison-case", args=["acorn", "support", run.number, kind]) + "?" + urlencode({"case": key})


def keys(browser: Browser, run: Run, **wanted: str) -> list[tuple[str, str]]:
    return [(line.key, line.change) for line in browser.get(page_of(run), wanted).context["page"].object_list]


def test_what_was_lost_comes_first_and_what_is_the_same_last(viewer: Browser, run: Run) -> None:
    found = keys(viewer, run)

    assert found[:3] == [("c1", "lost"), ("c3", "wrong"), ("c2", "won")]
    assert {change for _key, change in found[3:]} == {"same"}


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"change": "lost"}, 1),
        ({"set": "safety"}, 1),
        ({"label": "billing"}, 1),
        ({"q": "IN BLUE"}, 1),
        ({"q": "nothing like it"}, 0),
        ({"set": "heldout", "change": "same"}, 1),
    ],
)
def test_the_cases_are_narrowed_by_the_address(viewer: Browser, run: Run, wanted: dict[str, str], count: int) -> None:
    assert len(keys(viewer, run, **wanted)) == count


def test_both_answers_are_one_text_with_what_changed_marked_and_every_cell_leads_to_the_case(
    viewer: Browser, run: Run
) -> None:
    text = viewer.get(page_of(run), {"change": "lost"}).text

    assert "<del>returns</del><ins>billing</ins>" in text
    assert text.count(f'href="{case_of(run, "c1")}"') == 5
    assert "Send the money for my order back" in text


def test_times_are_drawn_on_one_scale_without_inline_style(viewer: Browser, run: Run) -> None:
    text = viewer.get(page_of(run)).text

    assert 'class="bars bars-candidate"' in text and 'class="bars bars-production"' in text
    assert "style=" not in text.partition("<main")[2]
    assert "300 calls" in text


def test_a_case_shows_question_answers_and_scores(viewer: Browser, run: Run) -> None:
    text = viewer.get(case_of(run, "c1")).text

    assert "Send the money for my order back" in text and "returns" in text and "12.5" in text
    assert viewer.get(case_of(run, "c99")).status_code == 404
    assert viewer.get(case_of(run, "c0", kind="unknown")).status_code == 404


@pytest.mark.parametrize("key", ["a\nb", "../..", "?q=1&x#y", "."])
def test_a_case_with_an_id_that_no_path_can_hold_has_its_page(viewer: Browser, run: Run, key: str) -> None:
    with factories.inside(run):
        store, card = store_of(run.client_id), Scorecard.objects.get(run=run)
        with store.verified(card.answers_digest).open(encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        renamed = (row | {"id": key} if row["id"] == "c1" else row for row in rows)
        card.answers_digest = store.put_lines(json.dumps(row).encode() for row in renamed)
        card.save()

    listed, page = viewer.get(page_of(run)), viewer.get(case_of(run, key))

    assert listed.status_code == 200 and f'?case={quote(key)}"' in listed.text
    assert page.context["line"].key == key


def test_a_lost_case_names_the_nearest_training_rows_the_new_ones_first(viewer: Browser, run: Run) -> None:
    with factories.inside(run):
        version = Scorecard.objects.get(run=run).version
        new = Example.objects.filter(dataset=version.dataset).order_by("id")[0]
        old = Example.objects.exclude(dataset=version.dataset).order_by("id")[0]
        for row, said, label in (
            (new, "money for my order back", "billing"),
            (old, "money for my order back", "returns"),
        ):
            row.messages = [{"role": "user", "content": said}, {"role": "assistant", "content": label}]
            row.label = label
            row.save()

    found = viewer.get(case_of(run, "c1")).context["suspects"]

    assert [(s.example.pk, s.is_new) for s in found[:2]] == [(new.pk, True), (old.pk, False)]
    assert found[0].alike > 0.5
    assert "as it was answered" in viewer.get(case_of(run, "c1")).text
    assert viewer.get(case_of(run, "c0")).context["suspects"] == ()


def test_rows_that_taught_a_rejected_version_are_no_suspects(viewer: Browser, run: Run) -> None:
    with factories.inside(run):
        version = Scorecard.objects.get(run=run).version
        said = [{"role": "user", "content": "money for my order back"}, {"role": "assistant", "content": "billing"}]
        rows = Example.objects.exclude(dataset=version.dataset).filter(dataset__isnull=False)
        rows.update(messages=said, label="billing", state="parked")

    assert not [s for s in viewer.get(case_of(run, "c1")).context["suspects"] if not s.is_new]


def test_what_models_wrote_is_escaped(viewer: Browser, run: Run) -> None:
    answers.measured(run, {"heldout": [("<b>hi</b>", "a", "<script>alert(1)</script>", "<i>b</i>")]})

    for url in (page_of(run), case_of(run, "c0")):
        text = viewer.get(url).text
        assert "<script>alert" not in text and "<b>hi" not in text and "<i>b" not in text


def test_answers_that_were_swept_are_said_to_be_gone(viewer: Browser, support: Pipeline) -> None:
    made = factories.make_run(support, at="deploy", status="held")

    assert "is not in the store" in viewer.get(page_of(made)).text
    assert "not stored any more" in viewer.get(case_of(made, "c0")).text


def test_a_first_version_is_compared_with_nobody(viewer: Browser, support: Pipeline) -> None:
    made = factories.make_run(support, at="deploy", status="held")
    answers.measured(made, {"heldout": [("Where is it?", "delivery", "stock", None)]})

    response = viewer.get(page_of(made))

    assert keys(viewer, made) == [("c0", "wrong")]
    assert "no production yet" in response.text


def test_a_run_that_was_not_measured_has_no_comparison(viewer: Browser, support: Pipeline) -> None:
    made = factories.make_run(support, at="finetune", status="running")

    assert viewer.get(page_of(made)).status_code == 404


def test_the_list_alone_answers_a_changed_filter(viewer: Browser, run: Run) -> None:
    response = viewer.get(page_of(run), headers={"HX-Request": "true", "HX-Target": "section#lines"})

    assert response.text.lstrip().startswith('<section class="card" id="lines">')
