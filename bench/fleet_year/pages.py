"""Staff pages at the size of the fleet: whole requests in this process, signed in."""

from __future__ import annotations

import statistics
import time
from typing import Any

ROUNDS = 9
OF_AGENCY = ("gate-log", "rollback-log", "value", "jump", "freezes", "presets", "bulk-change", "people")
OF_PIPELINE = ("pipeline", "runs", "settings", "data", "versions")


def pages(month: str, run: int) -> dict[str, float]:
    """{page_p50_ms, page_cpu_ms, page_queries}; the value of that month, and that run of the first pipeline."""
    from django.test import Client as Browser
    from django.urls import reverse

    from tenants.models import Agency, Role
    from tests import factories

    browser = Browser()
    browser.force_login(factories.make_member(Agency.objects.get(slug="north"), Role.OWNER))
    where = ["client-0", "task-0"]
    paths = {"overview": "/", "overview_recent": "/?sort=recent", "overview_search": "/?q=client-7"}
    paths |= {name: reverse(name) for name in OF_AGENCY} | {name: reverse(name, args=where) for name in OF_PIPELINE}
    paths |= {"client": reverse("client", args=where[:1]), "run": reverse("run", args=[*where, run])}
    paths |= {"host": reverse("host", args=["client-0", "shop"]), "value": f"{reverse('value')}?month={month}"}
    paths["month"] = f"/report/client-0/?month={month}"
    figures: dict[str, float] = {}
    for name, path in paths.items():
        figures |= _page(browser, name.replace("-", "_"), path)
    return figures


def _page(browser: Any, name: str, path: str) -> dict[str, float]:
    """Median of the wall time, least processor time, and the number of queries of a page that answers 200."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    took = []
    for _round in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        response = browser.get(path)
        took.append((time.perf_counter() - wall, time.process_time() - cpu))
        if response.status_code != 200:
            raise RuntimeError(f"{path} answered {response.status_code}")
    with CaptureQueriesContext(connection) as seen:
        browser.get(path)
    wall_ms, cpu_ms = 1000 * statistics.median(w for w, _ in took[2:]), 1000 * min(c for _, c in took)
    return {f"{name}_p50_ms": wall_ms, f"{name}_cpu_ms": cpu_ms, f"{name}_queries": len(seen)}
