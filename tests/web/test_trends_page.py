"""Trends: each figure over the versions, promoted ones joined, each point leading to its version."""

from __future__ import annotations

from django.test import Client as Browser
from django.urls import reverse

from pipelines.models import Scorecard
from tenants.models import Client
from tests import factories

HERE = reverse("trends", args=["acorn", "support"])


def test_every_figure_is_drawn_over_the_versions(viewer: Browser, acorn: Client) -> None:
    pipeline = factories.make_pipeline(acorn)
    runs = [factories.make_production(pipeline), factories.make_run(pipeline, at="deploy", status="cancelled")]
    runs.append(factories.make_production(pipeline))
    with factories.inside(pipeline):
        for run, value in zip(runs, (0.80, 0.70, 0.90), strict=True):
            figures = {"metrics": {"accuracy": {"candidate": value}}, "latency_ms": {"candidate_p95": 30.0}}
            Scorecard.objects.filter(run=run).update(**figures)

    response = viewer.get(HERE)

    lines = {line.name: line for line in response.context["lines"]}
    assert list(lines) == ["accuracy", "latency p95, ms", "GGUF, MB"]
    drawn = lines["accuracy"].points
    assert [(p.value, p.is_promoted) for p in drawn] == [(0.80, True), (0.70, False), (0.90, True)]
    assert drawn[2].y < drawn[0].y < drawn[1].y  # Higher is nearer the top.
    assert lines["accuracy"].path.count(",") == 2
    assert response.text.count('class="hollow"') == 3
    assert reverse("version", args=["acorn", "support", 2]) in response.text
    assert HERE in viewer.get(reverse("versions", args=["acorn", "support"])).text


def test_a_pipeline_without_versions_says_so(viewer: Browser, acorn: Client) -> None:
    factories.make_pipeline(acorn)

    assert "No version was measured yet" in viewer.get(HERE).text
