"""Job probe: a few held-out questions to every host, by the name that applications use."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from django.utils.timezone import now as clock

from pipelines.engine.jobs import Work
from pipelines.heavy.push import open_adapter
from pipelines.heavy.restore import placements_of
from pipelines.hosts import Host as HostAdapter
from pipelines.hosts import HostDown, HostRefused, Messages
from pipelines.hosts.naming import alias_name
from pipelines.metrics import format_check
from pipelines.models import Placement, Rollout
from pipelines.shipping.alias.probes import questions
from tenants.pipeline_settings import Criteria


def work(work: Work) -> dict[str, Any]:
    rows = Rollout.objects.select_related("run__revision", "version__pipeline", "version__client", "pipeline")
    rollout = rows.get(run=work.job.run)
    asked = [prompt.request["messages"] for prompt in questions(rollout, work.job.spec["number"], clock())]
    return {"hosts": {place.host.name: _probed(rollout, place, asked) for place in placements_of(rollout.version)}}


def _probed(rollout: Rollout, place: Placement, asked: Sequence[Messages]) -> dict[str, Any]:
    """`failed` by the name, `before_failed` by the version before, which is asked only where all failed."""
    settings = rollout.run.revision.settings
    alias = alias_name(rollout.version.client.slug, rollout.version.pipeline.slug)
    said: dict[str, Any] = {"asked": len(asked), "failed": len(asked), "before_failed": len(asked), "is_named": True}
    with closing(open_adapter(place.host, settings.rollout.request_timeout_s)) as host:
        said["is_named"] = _is_named(host, alias, place.model_name)
        said["failed"] = _failed(host, alias, asked, settings.criteria)
        before = Placement.objects.filter(version=rollout.previous_id, host=place.host, status="placed").first()
        if asked and said["failed"] == len(asked) and before is not None:
            said["before_failed"] = _failed(host, before.model_name, asked, settings.criteria)
    return said


def _is_named(host: HostAdapter, alias: str, name: str) -> bool:
    """A host that cannot be asked has not been found otherwise."""
    try:
        digests = {tag.name: tag.digest for tag in host.tags()}
    except (HostDown, HostRefused):
        return True
    return digests.get(alias) == digests.get(name)


def _failed(host: HostAdapter, name: str, asked: Sequence[Messages], criteria: Criteria) -> int:
    return sum(not _is_right(host, name, messages, criteria) for messages in asked)


def _is_right(host: HostAdapter, name: str, messages: Messages, criteria: Criteria) -> bool:
    """An answer of the promised shape; what it says is for the gates."""
    try:
        text = host.chat(name, messages, {"temperature": 0, "num_predict": criteria.max_answer_tokens}).text
    except (HostDown, HostRefused):
        return False
    return bool(text.strip()) and format_check(criteria.output.promised, text) is not False
