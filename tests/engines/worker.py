"""`manage.py`, or `celery`, with quick jobs in the place of the heavy ones: what the worker processes of tests run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """The arguments are those of manage.py; `celery ...` are those of celery."""
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agency.settings")
    import django

    django.setup()
    from pipelines.plan import JOBS
    from tests.engines import interference
    from tests.flow import fake_jobs

    real = {kind: JOBS[kind] for kind in os.environ.get("RETUNE_TEST_REAL", "").split()}
    if os.environ.get("RETUNE_TEST_HOSTS"):
        JOBS.update(fake_jobs.ON_HOSTS)
    else:
        JOBS.update(fake_jobs.HANDLERS)
        fake_jobs.WRONG.update({2: 40})
    JOBS.update(real)
    interference.arm()
    if sys.argv[1] == "celery":
        from celery.__main__ import main as celery

        sys.argv = sys.argv[1:]
        celery()
    else:
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
