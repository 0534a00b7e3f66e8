"""Drills on pages: the list, the button, the pipeline's and the host's line."""

from __future__ import annotations

from django.test import Client as Browser

from pipelines.models import Drill, ModelVersion
from tenants.models import Client
from tests import factories


def drilled(client: Client) -> None:
    pipeline = factories.make_pipeline(client)
    for _ in range(2):
        factories.make_production(pipeline)
    with factories.inside(client):
        old, new = ModelVersion.objects.order_by("number")
        said = {"is_ready": False, "sentence": "v1 is not there any more", "load_s": 0.0, "answer_s": 0.0}
        fields = {"is_passed": False, "sentence": "shop: v1 is not there any more", "hosts": {"shop": said}}
        times = {"created_at": factories.NOW, "finished_at": factories.NOW}
        Drill.of(
            pipeline, pipeline=pipeline, from_version=new, to_version=old, ordered_by="owner", **fields, **times
        ).save()


def test_a_drill_stands_on_its_page_the_pipelines_and_the_hosts(acorn: Client, owner: Browser, viewer: Browser) -> None:
    drilled(acorn)
    page = owner.get("/c/acorn/support/drills/").content.decode()
    assert "shop: v1 is not there any more" in page and "Start a drill" in page
    assert "drill of the way back to v1" in owner.get("/c/acorn/support/").content.decode()
    for of_the_host in ("/c/acorn/", "/c/acorn/hosts/shop/"):
        assert "Support → v1" in owner.get(of_the_host).content.decode()
    assert "Start a drill" not in viewer.get("/c/acorn/support/drills/").content.decode()
