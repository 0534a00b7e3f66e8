"""How long the engine itself takes, with real workers; how soon a killed worker's run goes on; what is doubled or lost.

orchestration_s_*: median over runs from the start to the held verdict (five stages, four jobs that take milliseconds),
less the time inside jobs and stages.
takeover_over_lease_s: from kill -9 after the claim to the next worker's first write, less the lease; the worst kill.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.report import Figure, at_most, exactly, report, wants_json

SAMPLES = 7
LEASE_S = 3.0  # What tests.engines.processes gives its workers.
KILLS = ("claimed:validate", "claimed:finetune", "job-claimed:train", "settling:compare")
TARGETS = {
    "takeover_over_lease_s": at_most(5.0),
    "orchestration_s_embedded": at_most(2.0),
    "orchestration_s_celery": at_most(0.5),
    "doubled": exactly(0),
    "lost": exactly(0),
}
Start = Callable[..., AbstractContextManager[Any]]


def main() -> None:
    as_json = wants_json()
    figures: dict[str, Figure] = dict.fromkeys(TARGETS)
    with tempfile.TemporaryDirectory(prefix="retune-bench-") as folder, ExitStack() as stack:
        start_embedded = _set_up(Path(folder))
        figures["orchestration_s_embedded"] = orchestration_s(start_embedded, Path(folder))
        kills = [kill(start_embedded, Path(folder) / point.replace(":", "-"), point) for point in KILLS]
        figures["takeover_over_lease_s"] = max(late_s for late_s, _effects in kills if late_s is not None)
        figures |= _on_celery(Path(folder), stack)
        landed = [effects for _late, effects in kills]
        figures["doubled"] = sum(max(n - 1, 0) for effects in landed for n in effects.values())
        figures["lost"] = sum(2 - len(effects) for effects in landed)
    report("engine", figures, TARGETS, as_json)


def _set_up(var: Path) -> Start:
    """Django on a SQLite file of its own; gives what starts the embedded workers."""
    os.environ |= {"RETUNE_VAR": str(var), "RETUNE_ENGINE": "q2", "RETUNE_LOG_LEVEL": "WARNING"}
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agency.settings")
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from tests.engines.processes import embedded

    return embedded


def _on_celery(var: Path, stack: ExitStack) -> dict[str, Figure]:
    from tests import servers
    from tests.engines.processes import production
    from tests.installation import as_default, install

    try:
        server = stack.enter_context(servers.postgres_server())
        url = stack.enter_context(servers.redis_process())
    except (servers.ServerFailed, OSError, RuntimeError) as error:
        return {"orchestration_s_celery": None, "orchestration_s_celery_why": str(error).splitlines()[0]}
    installation = install(server)
    stack.enter_context(as_default(installation.app_url))
    folder = var / "celery"
    return {
        "orchestration_s_celery": orchestration_s(
            lambda var, **more: production(var, installation, url, **more), folder
        )
    }


def orchestration_s(start: Start, var: Path) -> float:
    """Median seconds per run; the first run, which loads modules into the workers, is left out."""
    var.mkdir(exist_ok=True)
    with start(var, RETUNE_TEST_CLOCK="1"):
        seconds = [held_run(var)[0] for _sample in range(SAMPLES + 1)]
    return statistics.median(seconds[1:])


def held_run(var: Path) -> tuple[float, Any]:
    """One first version up to its hold: seconds outside its jobs and stages, and the run."""
    from django.conf import settings

    from pipelines.models import Job, RunEvent
    from tests import factories
    from tests.engines.story import Story

    settings.ARTIFACTS = var / "artifacts"
    story = Story(var)
    with factories.inside(story.pipeline):
        run = story.start(0)
        story.until(run, "held")
        whole = RunEvent.objects.get(run=run, to_status="held").at - run.created_at
        jobs = Job.objects.filter(run=run, finished_at__isnull=False)
        working = sum((job.finished_at - job.started_at for job in jobs), timedelta())
    return (whole - working).total_seconds() - stages_s(var, run.pk), run


def stages_s(var: Path, run_id: int) -> float:
    """Seconds inside the stages of a run, as its workers wrote them down; 0 when nobody asked them to."""
    path = var / "asked.log"
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return sum(float(seconds) for run, _stage, seconds in lines if int(run) == run_id)


def kill(start: Start, var: Path, point: str) -> tuple[float | None, Counter[str]]:
    """(seconds from the end of the lease to the takeover where the rows show it, effects of the run by kind)."""
    from pipelines.models import StageRun
    from tests import factories

    var.mkdir()
    with start(var, RETUNE_TEST_KILL=point):
        _seconds, run = held_run(var)
    killed_at = datetime.fromtimestamp((var / "killed" / point).stat().st_mtime, UTC)
    lines = [line.split() for line in (var / "effects.log").read_text().splitlines()]
    landed = Counter(kind for run_id, kind, _what in lines if int(run_id) == run.pk)
    where, _, stage = point.partition(":")
    if where != "claimed":
        return None, landed
    with factories.inside(run):
        began_at = StageRun.objects.get(run=run, stage=stage).started_at
    return (began_at - killed_at).total_seconds() - LEASE_S, landed


if __name__ == "__main__":
    main()
