"""Job drill: the way back is walked up to the flip. Each host shows the version, loads it and answers with it."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

from django.db import Error as DatabaseFault
from django.utils.timezone import now as clock
from django.utils.translation import gettext as _

from pipelines.artifacts import ArtifactDamaged, ArtifactMissing, store_of
from pipelines.engine.jobs import Work
from pipelines.heavy.push import open_adapter
from pipelines.heavy.restore import placements_of
from pipelines.hosts import Host as HostAdapter
from pipelines.hosts import HostDown, HostRefused, Messages
from pipelines.hosts.facts import Tag
from pipelines.models import Drill, ModelVersion, Placement
from pipelines.shipping.back.drills import finish
from pipelines.shipping.back.rehearsal import WayChanged, rehearse
from pipelines.shipping.route import RolloutOver

HELLO: Messages = [{"role": "user", "content": "Hello"}]
# The first token is what is wanted: that the version speaks at all, not what it says.
FEW_TOKENS = {"num_predict": 8, "temperature": 0}
TIMEOUT_S = 300.0


def work(work: Work) -> dict[str, Any]:
    rows = Drill.objects.select_related("pipeline", "client", "from_version__run", "to_version__run")
    drill = rows.get(pk=int(work.job.kind.partition(":")[2]))
    if drill.is_passed is None:
        drill.hosts = {place.host.name: _walked(drill, place) for place in placements_of(drill.to_version)}
        _close(drill)
    return {"hosts": drill.hosts}


def _close(drill: Drill) -> None:
    try:
        finish(drill, *_result(drill), clock())
    except WayChanged as changed:
        finish(drill, False, str(changed), clock(), is_told=False)


def _result(drill: Drill) -> tuple[bool, str]:
    """Raises `WayChanged`."""
    failed = [f"{name}: {said['sentence']}" for name, said in drill.hosts.items() if not said["is_ready"]]
    if failed:
        return False, "; ".join(failed)
    ready = _ready(drill) if drill.hosts else _whole_file(drill.to_version)
    if ready is None:
        return False, _("%(version)s lies on no host, and its file is not whole") % {"version": drill.to_version.label}
    try:
        seconds = rehearse(drill.pipeline, drill.from_version, drill.to_version, clock())
    except (DatabaseFault, ValueError, RolloutOver) as error:
        words = {"why": str(error).strip().partition("\n")[0]}
        return False, _("the rollback could not be written: %(why)s") % words
    written = _("the rollback was written and undone in %(ms)s ms") % {"ms": f"{1000 * seconds:.0f}"}
    return True, f"{ready}; {written}"


def _ready(drill: Drill) -> str:
    slowest = max(drill.hosts.values(), key=lambda said: said["load_s"])
    words = {"version": drill.to_version.label, "hosts": ", ".join(drill.hosts), "load": f"{slowest['load_s']:.2f}"}
    return _("%(version)s is loaded within %(load)s s and answers on %(hosts)s") % words


def _whole_file(version: ModelVersion) -> str | None:
    """On no host any more: a rollback would first place it, which needs its file."""
    try:
        store = store_of(version.client_id)
        size = sum(store.verified(digest).stat().st_size for digest in version.files)
    except (ArtifactDamaged, ArtifactMissing, OSError):
        return None
    words = {"version": version.label, "mb": f"{size / 1e6:,.0f}"}
    return _("%(version)s lies on no host: a rollback first sends its %(mb)s MB, and they are whole") % words


def _walked(drill: Drill, place: Placement) -> dict[str, Any]:
    """What one host showed. Production is loaded again where making room for the version had pushed it out."""
    try:
        with closing(open_adapter(place.host, TIMEOUT_S)) as host:
            tags, before = {tag.name: tag for tag in host.tags()}, set(host.resident())
            fault = _fault(tags.get(place.model_name), place)
            if fault:
                return _not_ready(fault)
            said = _asked(host, place.model_name, was_loaded=tags[place.model_name].digest in before)
            gone = before - set(host.resident())
            return said | {"pushed_out": _load_again(host, drill, place, {n for n in tags if tags[n].digest in gone})}
    except (HostDown, HostRefused) as error:
        return _not_ready(str(error))


def _fault(tag: Tag | None, place: Placement) -> str:
    if tag is None:
        return _("%(name)s is not there any more") % {"name": place.model_name}
    recorded = place.facts.get("manifest_digest")
    if recorded and tag.digest != recorded:
        words = {"name": place.model_name, "found": tag.digest[:12], "recorded": recorded[:12]}
        return _("%(name)s is %(found)s there, %(recorded)s was placed: somebody replaced it") % words
    return ""


def _asked(host: HostAdapter, name: str, was_loaded: bool) -> dict[str, Any]:
    began = time.perf_counter()
    host.preload(name)
    loaded = time.perf_counter()
    host.chat(name, HELLO, FEW_TOKENS)
    answered = time.perf_counter()
    words = {"load": f"{loaded - began:.1f}", "answer": f"{answered - loaded:.2f}"}
    kept, fetched = _("kept loaded, answered in %(answer)s s"), _("loaded in %(load)s s, answered in %(answer)s s")
    said = {"load_s": round(loaded - began, 3), "answer_s": round(answered - loaded, 3), "was_loaded": was_loaded}
    return said | {"is_ready": True, "sentence": (kept if was_loaded else fetched) % words}


def _load_again(host: HostAdapter, drill: Drill, place: Placement, gone: set[str]) -> bool:
    """Whether production had to make room: then the two do not fit together there, and a rollback costs a load."""
    serving = Placement.objects.filter(version=drill.from_version, host=place.host, status="placed").first()
    if serving is None or serving.model_name not in gone:
        return False
    host.preload(serving.model_name)
    return True


def _not_ready(sentence: str) -> dict[str, Any]:
    return {"is_ready": False, "sentence": sentence, "load_s": 0.0, "answer_s": 0.0, "pushed_out": False}
