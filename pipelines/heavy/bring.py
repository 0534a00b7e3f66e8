"""Job bring: a rollback to a version that nobody knows to be loaded. Its bytes are proven first, then traffic moves."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from typing import Any

from django.db import transaction
from django.utils.timezone import now as clock

from pipelines.artifacts import store_of
from pipelines.engine.jobs import JobFailed, Work
from pipelines.fleet.alone import swapped_in
from pipelines.heavy.push import Told, open_adapter, record, release_of
from pipelines.hosts import HostDown, HostRefused
from pipelines.hosts.release import place
from pipelines.models import ModelVersion, Placement, Rollback, Route
from pipelines.shipping.back.insisting import Insisting, is_overtaken
from pipelines.shipping.rollback import carry_out
from pipelines.work.gguf_header import check
from tenants.models import Host

HELLO = [{"role": "user", "content": "Hello"}]


def work(work: Work) -> dict[str, Any]:
    made = Rollback.objects.select_related(
        "to_version__client", "to_version__pipeline__revision", "pipeline", "from_version__run__revision"
    ).get(pk=int(work.job.kind.partition(":")[2]))
    with Insisting(work, made):
        return _bring(work, made)


def _bring(work: Work, made: Rollback) -> dict[str, Any]:
    if made.flipped_at is None and not is_overtaken(made):
        made.hosts = {host.name: prove(made.target, host, work) for host in hosts_of(made.target)}
        made.save(update_fields=["hosts"])
        if "ok" not in made.hosts.values():
            said = "; ".join(f"{name}: {what}" for name, what in made.hosts.items()) or "no enabled host"
            raise JobFailed(f"{made.target.label} answers on no host, traffic stays where it is: {said}")
        _move_traffic(made)
    return {"hosts": made.hosts}


def hosts_of(version: ModelVersion) -> list[Host]:
    """Those that the pipeline's settings name; all of the client's where they name none."""
    named, rows = version.pipeline.settings.hosts, Host.objects.filter(client_id=version.client_id, is_enabled=True)
    return list(rows.filter(name__in=named) if named else rows)


def prove(version: ModelVersion, host: Host, work: Work) -> str:
    """`ok`, or a sentence: the version lies there, byte for byte, is loaded and answers. Placed anew if need be."""
    try:
        with swapped_in(version, host):
            if store_of(version.client_id).has_all(version.files):
                _place(version, host, work)
            else:
                _ask(version, host)
    except (HostDown, HostRefused) as error:
        return str(error)
    return "ok"


def _place(version: ModelVersion, host: Host, work: Work) -> None:
    """What lies there already is compared and not sent again."""
    release = release_of(version)  # Read and verified to its last byte.
    with closing(open_adapter(host)) as adapter:
        facts = place(adapter, release, check, Told(work))
    record(version, host, release.name, asdict(facts))


def _ask(version: ModelVersion, host: Host) -> None:
    """The store has no copy: only what stands on the host can be asked."""
    placement = Placement.objects.filter(version=version, host=host, status="placed").first()
    if placement is None:
        raise HostRefused("it does not lie there, and there is no copy to send")
    adapter = open_adapter(host)
    adapter.preload(placement.model_name)
    adapter.chat(placement.model_name, HELLO, {"num_predict": 4, "temperature": 0})


@transaction.atomic
def _move_traffic(made: Rollback) -> None:
    routes = Route.objects.select_for_update(of=("self",)).select_related("production", "candidate")
    route = routes.get(pipeline=made.pipeline_id)
    if is_overtaken(made):
        return
    if route.production_id == made.target.pk and route.candidate_id is None:
        made.flipped_at = clock()  # Somebody was faster.
        made.save(update_fields=["flipped_at"])
        return
    carry_out(made, route, clock())
