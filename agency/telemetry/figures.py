"""The installation's figures for Prometheus: what lives, waits and is late, asked of the database at each scrape.

The gateways count requests themselves, each on its own `/metrics`; one web process tells what all processes share.
"""

from __future__ import annotations

import hmac
import shutil
from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.timezone import now
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agency.health.looks import READY, look
from pipelines.outbox import mails
from tenants import crossing

LATE_S = (60, 600)
COUNTED_MOST = 1_000
# By the values of the labels, in their order.
Values = dict[tuple[str, ...], float]
KINDS = ("runs", "jobs", "triggers", "imports", "hosts")


class Installation(Collector):
    """Everything read anew at each `collect`: several web processes tell the same."""

    def collect(self) -> Iterator[Metric]:
        yield _family("live_runs", "Runs that have not ended.", ("status",), _words("live_runs", crossing.LIVE_RUNS))
        day = _words("ended_runs", crossing.ENDED_RUNS, since=now() - timedelta(days=1))
        yield _family("ended_runs_day", "Runs that ended within 24 hours.", ("status",), day)
        yield _family("live_jobs", "Heavy work that waits or is done.", ("queue", "status"), _jobs())
        text = f"Rows that have been due for longer, up to {COUNTED_MOST}."
        yield _family("late", text, ("what", "longer_than_s"), _late())
        text = "Heavy work that has been due for longer: it waits in a line, or for a worker that is gone."
        yield _family("late_jobs", text, ("queue", "longer_than_s"), _late_jobs())
        yield _family("hosts", "Clients' hosts that are in use.", ("state",), _words("hosts", ("up", "down")))
        well: Values = {(one.name,): float(one.is_well) for one in look(READY, alone=False)}
        yield _family("well", "1 where /readyz finds nothing wrong.", ("look",), well)
        free: Values = {(): float(shutil.disk_usage(settings.VAR).free)}
        yield _family("disk_free_bytes", "Free where artifacts and scratch folders lie.", (), free)


def _family(name: str, text: str, labels: tuple[str, ...], values: Values) -> Metric:
    made = GaugeMetricFamily(f"retune_{name}", text, labels=labels)
    for words, value in values.items():
        made.add_metric(words, value)
    return made


def _words(name: str, words: tuple[str, ...], **params: object) -> Values:
    """A nought where there is none: a series that comes and goes cannot be alarmed on."""
    found: Values = {(word,): 0.0 for word in words}
    found.update({(words[place],): n for place, n in crossing.ask(name, **params)})
    return found


def _jobs() -> Values:
    found: Values = {(queue, status): 0.0 for queue in crossing.QUEUES for status in crossing.LIVE_JOBS}
    for queue, status, n in crossing.ask("live_jobs"):
        found[(crossing.QUEUES[queue], crossing.LIVE_JOBS[status])] = n
    return found


def _late() -> Values:
    found: Values = {}
    for late_s in LATE_S:
        since = now() - timedelta(seconds=late_s)
        for kind in KINDS:
            found[(kind, str(late_s))] = len(crossing.due(f"due_{kind}", since, COUNTED_MOST))
        found[("notices", str(late_s))] = mails.late(since, COUNTED_MOST)
    return found


def _late_jobs() -> Values:
    found: Values = {(queue, str(late_s)): 0.0 for queue in crossing.QUEUES for late_s in LATE_S}
    for late_s in LATE_S:
        for queue, n in crossing.ask("late_jobs", now=now() - timedelta(seconds=late_s)):
            found[(crossing.QUEUES[queue], str(late_s))] = n
    return found


@require_safe
@login_not_required
def installation(request: HttpRequest) -> HttpResponse:
    """404 without a token in the settings; the same token as the gateways' pages."""
    if not settings.PROMETHEUS_TOKEN:
        raise Http404
    said = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(said.encode(), settings.PROMETHEUS_TOKEN.encode()):
        refused = HttpResponse("the token of this page is required\n", status=401, content_type="text/plain")
        refused["WWW-Authenticate"] = "Bearer"
        return refused
    registry = CollectorRegistry()
    registry.register(Installation())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
