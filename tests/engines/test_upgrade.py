"""An upgrade in the middle of a rollout: a database as the version before left it, with a canary under way, is
migrated under a gateway that goes on answering; new workers take the rollout on to its end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils.timezone import now

from bench.gateway_peers import processes
from pipelines.actions.shipping import promote_rollout
from pipelines.models import Rollout, Run
from tenants.models import Host
from tests import factories
from tests.engines.processes import production, until
from tests.engines.story import OVERRIDES, Story
from tests.faults.test_flushed_and_restarted import Callers
from tests.installation import ROOT, Installation, as_default

APPS = ("tenants", "pipelines")
STEPS = [{"share": 0.05, "min_duration_s": 20}, {"share": 0.25, "min_duration_s": 0}]


class Patient(Story):
    """Its first step lasts longer than the workers that began it."""

    overrides = factories.merged(OVERRIDES, {"rollout": {"steps": STEPS}})


def before_last() -> dict[str, str]:
    """The migration before the last one of each app, whoever needs others first: where the version before stood."""
    graph = MigrationLoader(None).graph
    found = {}
    for app in APPS:
        (last,) = graph.leaf_nodes(app)
        found[app] = next(name for label, name in graph.nodes[last].dependencies if label == app)
    return found


def migrate(installation: Installation, *words: str) -> None:
    """As the service `migrate` does it, with the owner's rights."""
    env = os.environ | installation.environment | {"RETUNE_AS_OWNER": "1"}
    command = [sys.executable, str(ROOT / "manage.py"), "migrate", "--noinput", "--verbosity=0", *words]
    subprocess.run(command, env=env, cwd=ROOT, check=True)


def applied() -> set[tuple[str, str]]:
    return set(MigrationRecorder(connection).applied_migrations())


def test_a_rollout_goes_on_over_an_upgrade_and_no_caller_hears_of_it(
    installation: Installation, redis_server: str, tmp_path: Path, django_db_blocker: Any
) -> None:
    with django_db_blocker.unblock(), as_default(installation.app_url), processes.upstream() as upstream:
        try:
            story = Patient(tmp_path)
            with factories.inside(story.pipeline):
                Host.objects.filter(client_id=story.pipeline.client_id).update(url=f"http://127.0.0.1:{upstream}")
                plays(story, installation, redis_server, tmp_path)
        finally:
            installation.empty()


def plays(story: Story, installation: Installation, redis_url: str, var: Path) -> None:
    with production(var, installation, redis_url):
        first = story.start(0)
        story.until(first, "held", timeout_s=180)
        story.approve(first)
        story.until(first, "succeeded", timeout_s=180)
    key = factories.make_key(story.pipeline.client, "gateway")
    environment = installation.environment | {"RETUNE_VAR": str(var / "gateway")}
    with processes.gateway(**environment) as (port, _pid):
        said = Callers(f"http://127.0.0.1:{port}/api/chat", key)
        until("the gateway answers", lambda: said.once() == 200)
        with production(var, installation, redis_url):
            rejected = story.start(1000)
            story.until(rejected, "rejected", timeout_s=180)
            third = story.start(2000)
            story.until(third, "waiting", "canary at 5 %", timeout_s=180)
        said.begin()
        whole = applied()
        for app, name in reversed(before_last().items()):
            migrate(installation, app, name)
        assert {app for app, _name in whole - applied()} == set(APPS), "the database is as the version before left it"
        migrate(installation)
        assert applied() == whole
        assert Rollout.objects.get(run=third).status == "stepping"
        with production(var, installation, redis_url):
            story.until(third, "waiting", "canary at 25 %", timeout_s=180)
            promote_rollout(Run.objects.get(pk=third.pk), actor="owner", reason="looks right", now=now())
            story.until(third, "succeeded", timeout_s=180)
        said.end()
    assert Counter(said.heard) == {200: len(said.heard)} and len(said.heard) > 10
