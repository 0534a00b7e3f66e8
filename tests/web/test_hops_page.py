"""Loss by hop and prompt parity on a version's page."""

from __future__ import annotations

import pytest
from django.test import Client as Browser
from django.urls import reverse

from pipelines.models import Job, ModelVersion
from tenants.models import Client, Pipeline
from tests import factories

PAGE = reverse("version", args=["acorn", "support", 1])
ORDER = reverse("measure-hops", args=["acorn", "support", 1])
HOP = {"right": 200, "bytes": 2_400_000, "alike": 238, "lost": 3, "won": 1}
RESULT = {
    "metrics": ["accuracy"], "n": 240, "engine": "llama-cpp-python 0.3.36", "host": "ollama 0.33.0 on shop",
    "set_version": 2,
    "hops": [
        {"name": "base", "metrics": {"accuracy": 0.1}} | HOP | {"alike": None, "lost": None, "won": None},
        {"name": "host", "metrics": {"accuracy": 0.825}} | HOP | {"bytes": None},
    ],
}  # fmt: skip


@pytest.fixture
def support(acorn: Client) -> Pipeline:
    pipeline = factories.make_pipeline(acorn)
    factories.make_production(pipeline)
    with factories.inside(pipeline):
        ModelVersion.objects.update(adapter_digest="a" * 64)
    return pipeline


def test_it_is_measured_when_somebody_asks_and_not_twice_at_once(engineer: Browser, support: Pipeline) -> None:
    assert "measured when you ask" in engineer.get(PAGE).text

    first, second = engineer.post(ORDER), engineer.post(ORDER, follow=True)

    assert first.url == f"{PAGE}#hops"
    assert "measured already" in second.content.decode()
    assert 'hx-trigger="every 2s"' in engineer.get(PAGE, headers={"HX-Request": "true", "HX-Target": "div#hops"}).text
    with factories.inside(support):
        assert [(job.kind, job.queue, job.status) for job in Job.objects.filter(kind__startswith="hops")] == [
            ("hops:1", "cpu", "queued")
        ]


def test_the_table_shows_where_answers_were_lost(viewer: Browser, support: Pipeline) -> None:
    with factories.inside(support):
        version = ModelVersion.objects.get(number=1)
        fields = {"kind": "hops:1", "stage": "evaluate", "queue": "cpu", "status": "succeeded", "result": RESULT}
        Job.of(version, run_id=version.run_id, created_at=factories.NOW, **fields).save()

    text = viewer.get(PAGE).text

    assert "ollama 0.33.0 on shop" in text and "0.825" in text and "238" in text
    assert "Measure again" not in text  # A viewer looks.


def test_the_prompt_as_trained_is_shown_with_the_hosts_that_render_it(viewer: Browser, support: Pipeline) -> None:
    with factories.inside(support):
        version = ModelVersion.objects.get(number=1)
        version.card = version.card | {"parity": [{"messages": [], "text": "<|im_start|>user\nHello<|im_end|>"}]}
        version.save()
        version.placements.update(facts={"prompts_checked": 4})

    text = viewer.get(PAGE).text

    assert "&lt;|im_start|&gt;user" in text
    assert "4 prompts rendered there to the letter" in text
