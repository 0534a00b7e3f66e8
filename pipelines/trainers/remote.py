"""The trainer that is a service: rows out, an adapter back, over the wire format of OpenAI's fine-tuning jobs.

It never waits: what is not ready yet is GoesOn, and the same order is asked again. All that it must know lies at the
service, found by the order's own tag; `order.scratch` only saves look-ups. So a lost reply, a killed worker or another
machine make no second job and no second upload.
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from pipelines.bundles import take
from pipelines.trainers import GoesOn, Order, Progress, Trained, TrainerError, figures, is_figure
from pipelines.trainers.imported import received
from pipelines.trainers.marker import file_digest, require_marker, write_marker
from pipelines.trainers.service import Document, Service

STATE = "remote.json"
TAG = "retune_order"
LIVE = ("validating_files", "queued", "running", "paused")
OVER = ("failed", "cancelled")
SHARES = {"validating_files": 0.05, "queued": 0.05, "running": 0.3, "paused": 0.3}


class RemoteTrainer:
    """`order.site`: url, model, order (whose work this is), allow_private, poll_s, is_there (an earlier look met it).

    `order.secret`: key, if any. A job that is there goes on when the service does not answer.
    """

    def train(self, order: Order, progress: Progress) -> Trained:
        if done := _finished(order):
            return done
        order.scratch.mkdir(parents=True, exist_ok=True)
        try:
            with closing(Service(order.site, order.secret)) as service:
                return _looked_at(service, order, progress)
        except TrainerError as fault:
            if fault.permanent or not _is_there(order):
                raise
            raise _unanswered(order, str(fault)) from fault


def _looked_at(service: Service, order: Order, progress: Progress) -> Trained:
    job = _job(service, order, progress)
    status = str(job.get("status"))
    if status in LIVE:
        note = f"{order.site['model']}: {status.replace('_', ' ')}"
        raise GoesOn(_poll_s(order), note, SHARES[status], _numbers(service, job))
    if status != "succeeded":
        raise TrainerError(_refusal(job), permanent=True)
    return _fetched(service, order, job, progress)


def _unanswered(order: Order, error: str) -> GoesOn:
    """It trains on, whether it answers or not."""
    return GoesOn(_poll_s(order), f"{order.site['model']}: {error}", SHARES["running"], {}, error)


def _is_there(order: Order) -> bool:
    """Whether the service has the job: the scratch folder knows it, or whoever asks was told so before."""
    return bool(order.site.get("is_there")) or _read(order.scratch / STATE).get("tag") == tag_of(order)


def _poll_s(order: Order) -> float:
    return float(order.site.get("poll_s", 30))


def recall(order: Order) -> dict[str, Any]:
    """Ends the order's job where it still runs and removes its rows from the service; safe to repeat."""
    with closing(Service(order.site, order.secret)) as service:
        job = service.find_job(TAG, tag_of(order))
        if job is not None and job.get("status") in LIVE:
            job = service.cancel_job(str(job["id"]))
        file = service.find_file(_file_name(order))
        if file is not None:
            service.remove_file(str(file["id"]))
    return {"job": str(job["id"]) if job else "", "status": str(job.get("status")) if job else "", "rows": bool(file)}


def tag_of(order: Order) -> str:
    """What the order is called at the service: the same for the same work, and telling nothing of whose it is."""
    facts = [order.site["order"], order.site["model"], order.recipe.as_dict(), file_digest(order.dataset)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _finished(order: Order) -> Trained | None:
    try:
        content = require_marker(order.out)
    except TrainerError:
        return None
    return Trained(**{**content["trained"], "adapter": order.out}) if content.get("tag") == tag_of(order) else None


def _job(service: Service, order: Order, progress: Progress) -> Document:
    """The order's job: as the scratch folder knows it, else as the service does, else made."""
    known = _read(order.scratch / STATE)
    if known.get("tag") == tag_of(order):
        return service.job(known["job"])
    job = service.find_job(TAG, tag_of(order), but_not=OVER)
    if job is None:
        progress(0.01, "sending the rows", {"bytes": order.dataset.stat().st_size})
        file = service.find_file(_file_name(order)) or service.upload(order.dataset, _file_name(order))
        job = service.create_job(_wanted(order, str(file["id"])))
    (order.scratch / STATE).write_text(json.dumps({"tag": tag_of(order), "job": job["id"]}))
    return job


def _file_name(order: Order) -> str:
    return f"retune-{tag_of(order)}.jsonl"


def _wanted(order: Order, file_id: str) -> dict[str, Any]:
    """The job's body. What the format has no place for goes as metadata, which a service may heed or not."""
    recipe = order.recipe
    plain = {name: str(value) for name, value in recipe.as_dict().items() if isinstance(value, int | float | str)}
    chosen = {"n_epochs": recipe.epochs, "batch_size": recipe.batch_size}
    return {
        "model": order.site["model"],
        "training_file": file_id,
        "seed": recipe.seed,
        "suffix": f"retune-{tag_of(order)[:8]}",
        "method": {"type": "supervised", "supervised": {"hyperparameters": chosen}},
        "metadata": {**plain, TAG: tag_of(order)},
    }


def _numbers(service: Service, job: Document) -> dict[str, float | int | str]:
    """Figures of the latest event that has some; none where the service tells none."""
    for event in service.events(str(job["id"])):
        data = event.get("data")
        if isinstance(data, dict) and data:
            return figures(data)
    return {}


def _refusal(job: Document) -> str:
    error = job.get("error") or {}
    said = str(error.get("message") or "") if isinstance(error, dict) else str(error)
    return f"The service ended the training ({job.get('status')}): {said[:500] or 'it said no more'}"


def _fetched(service: Service, order: Order, job: Document, progress: Progress) -> Trained:
    started = time.monotonic()
    files, tokens = job.get("result_files"), job.get("trained_tokens")
    if not isinstance(files, list) or not files:
        raise TrainerError("The service gives no result file: it must give the adapter's archive.", permanent=True)
    progress(0.9, "fetching the adapter", {})
    archive = order.scratch / "result"
    service.download(str(files[0]), archive)
    bundle = take(archive, order.out)
    origin = {
        "service": order.site["url"],
        "model": order.site["model"],
        "job": str(job["id"])[:100],
        "trained_tokens": tokens if is_figure(tokens) else None,
        "bundle_digest": file_digest(archive),
    }
    trained = received(order, "remote", bundle, origin, seconds=time.monotonic() - started)
    write_marker(order.out, {"tag": tag_of(order), "trained": trained.as_dict()})
    archive.unlink()
    _forget_rows(service, order, job)
    progress(1.0, "fetched", {"bytes": bundle.total_bytes})
    return trained


def _forget_rows(service: Service, order: Order, job: Document) -> None:
    """The rows have done their work there. A service that keeps them all the same does not fail the training."""
    try:
        service.remove_file(str(job.get("training_file")))
    except TrainerError as why:
        print(f"The rows stay at the service: {why}")


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
