"""Labels and JSON fields of a scorecard, as the version page shows them."""

from __future__ import annotations

from typing import Any

from pipelines.models import Scorecard
from pipelines.reports.evaluation.labels import detail_of


def card(**heldout: Any) -> Scorecard:
    return Scorecard(cases={"heldout": {"n": 4} | heldout})


def test_each_label_stands_beside_productions_the_worst_first() -> None:
    found = detail_of(
        card(
            confusion={
                "candidate": [["billing", "billing", 8], ["delivery", "", 1], ["delivery", "billing", 1]],
                "production": [["billing", "billing", 8], ["delivery", "delivery", 2]],
            }
        )
    )

    assert found is not None
    worst, best = found.labels
    assert (worst.label, worst.candidate and worst.candidate.f1, worst.production and worst.production.f1) == (
        "delivery",
        0.0,
        1.0,
    )
    assert best.candidate is not None and (best.candidate.recall, round(best.candidate.precision, 3)) == (1.0, 0.889)
    assert found.confusions == (("delivery", "", 1), ("delivery", "billing", 1))
    assert [(line.label, [cell.cases for cell in line.cells], line.other) for line in found.matrix] == [
        ("billing", [8, 0], 0),
        ("delivery", [1, 0], 1),
    ]


def test_seventy_seven_labels_get_no_matrix_but_their_confusions() -> None:
    rows = [[f"label {n}", f"label {n + 1}", n + 1] for n in range(77)]

    found = detail_of(card(confusion={"candidate": rows}))

    assert found is not None and found.matrix == () and found.confusions[0] == ("label 76", "label 77", 77)
    assert len(found.confusions) == 12


def test_each_field_has_its_share_and_none_where_production_was_not_asked() -> None:
    found = detail_of(card(fields={"candidate": {"priority": [3, 4], "team": [4, 4]}}))

    assert found is not None
    assert [(f.name, f.candidate, f.production) for f in found.fields] == [
        ("priority", 0.75, None),
        ("team", 1.0, None),
    ]


def test_free_text_has_neither() -> None:
    assert detail_of(card()) is None
    assert detail_of(Scorecard(cases={"heldout": 400})) is None
