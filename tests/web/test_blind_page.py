"""Blind A/B review: nothing on the page tells whose answer it is, one vote a case and person, a score with interval."""

from __future__ import annotations

import json

import pytest
from django.test import Client as Browser
from django.urls import reverse

from pipelines import actions
from pipelines.artifacts import store_of
from pipelines.models import BlindVote, Run, Scorecard
from tenants.models import Client
from tests import factories

CASES = 20


@pytest.fixture
def run(acorn: Client) -> Run:
    """Run 2, evaluated: the candidate says "new n", production "old n"; to the last case both say the same."""
    pipeline = factories.make_pipeline(acorn)
    factories.make_production(pipeline)
    made = factories.make_run(pipeline, at="compare", status="held")
    with factories.inside(pipeline):
        cases = [
            {"id": f"c{n}", "messages": [{"role": "user", "content": f"Question {n}?"}]}
            | {"check": "label", "expected": {"label": "billing"}}
            for n in range(CASES)
        ]
        actions.put_set(pipeline, "heldout", cases, actor="tests", note="", now=factories.NOW)
        said = {"candidate": "new", "production": "old"}
        rows = [
            {"set": "heldout", "id": f"c{n}", "arm": arm, "answer": f"{word} {n}" if n < CASES - 1 else "same"}
            for n in range(CASES)
            for arm, word in said.items()
        ]
        digest = store_of(acorn.pk).put_lines(json.dumps(row).encode() for row in rows)
        card = {"answers_digest": digest, "cases": {"heldout": {"n": CASES}, "set_versions": {"heldout": 1}}}
        Scorecard.objects.filter(run=made).update(**card)
    return made


HERE = reverse("blind", args=["acorn", "support", 2])


def vote_for(browser: Browser, word: str) -> str:
    """Looks at the next pair and votes for the answer that begins with `word`, or for none. Returns the side."""
    pair = browser.get(HERE).context["review"].pair
    side = "left" if pair.left.startswith(word) else "right" if pair.right.startswith(word) else "same"
    assert browser.post(HERE, {"case": pair.key, "side": side}).status_code == 303
    return side


def test_the_sides_are_drawn_and_the_votes_are_counted_for_whose_answer_it_was(engineer: Browser, run: Run) -> None:
    sides = {vote_for(engineer, "new") for _ in range(CASES - 1)}

    assert sides == {"left", "right"}
    page = engineer.get(HERE)
    found = page.context["preference"]
    assert page.context["review"].pair is None and "voted on all 19" in page.text
    assert (found.cases, found.wins, found.losses, found.share) == (19, 19, 0, 1.0)
    assert found.low == pytest.approx(19 / (19 + 1.96**2), abs=1e-4) and found.high == 1.0  # As Wilson's.


def test_equal_preferences_are_half_with_an_interval_around_it(engineer: Browser, run: Run) -> None:
    for word in ["new", "old"] * 6 + ["neither"] * 4:
        vote_for(engineer, word)

    found = engineer.get(HERE).context["preference"]
    assert (found.cases, found.wins, found.losses, found.ties, found.share) == (16, 6, 6, 4, 0.5)
    assert 0.5 - found.low == pytest.approx(found.high - 0.5) and 0.1 < 0.5 - found.low < 0.3


def test_the_page_does_not_tell_whose_answer_is_whose(engineer: Browser, run: Run) -> None:
    text = engineer.get(HERE).text
    form = text[text.index('name="case"') : text.index("</form>", text.index('name="case"'))]

    assert "candidate" not in form and "production" not in form


def test_two_people_see_the_cases_in_orders_of_their_own(owner: Browser, engineer: Browser, run: Run) -> None:
    def seen(browser: Browser) -> list[str]:
        return [browser.get(HERE).context["review"].pair.key for _ in range(6) if vote_for(browser, "new")]

    assert seen(owner) != seen(engineer)


def test_the_first_vote_stays(engineer: Browser, run: Run) -> None:
    pair = engineer.get(HERE).context["review"].pair
    engineer.post(HERE, {"case": pair.key, "side": "left"})
    said = engineer.post(HERE, {"case": pair.key, "side": "right"}, follow=True).text

    assert "the first vote stays" in said
    with factories.inside(run):
        assert BlindVote.objects.count() == 1


@pytest.mark.parametrize(
    "form", [{"side": "left"}, {"case": "c1"}, {"case": "c19", "side": "left"}, {"case": "zz", "side": "same"}]
)
def test_a_vote_without_a_side_or_a_case_is_refused(engineer: Browser, run: Run, form: dict[str, str]) -> None:
    response = engineer.post(HERE, form)

    assert response.status_code == 422 and "Say which answer is better" in response.text
    with factories.inside(run):
        assert not BlindVote.objects.exists()


def test_a_run_without_production_has_nothing_to_compare(engineer: Browser, acorn: Client) -> None:
    factories.make_run(factories.make_pipeline(acorn), at="compare")

    assert "Nothing to compare" in engineer.get(reverse("blind", args=["acorn", "support", 1])).text
