"""The dispatch port: sends wake-ups after the commit that made them true. Lost and doubled ones are harmless."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Protocol

from django.conf import settings
from django.db import transaction


class Dispatch(Protocol):
    def send(self, task: str, queue: str, client_id: int, row_id: int) -> None:
        """Have `pipelines.tasks.<task>(client_id, row_id)` run by some worker of `queue`."""


ENGINES = {
    "eager": "pipelines.engine.eager:EagerDispatch",
    "q2": "pipelines.engine.to_q2:Q2Dispatch",
    "celery": "pipelines.engine.to_celery:CeleryDispatch",
}


@cache
def engine() -> Dispatch:
    module, _, name = ENGINES[settings.ENGINE].partition(":")
    made: Dispatch = getattr(import_module(module), name)()
    return made


def send(task: str, queue: str, client_id: int, row_id: int) -> None:
    transaction.on_commit(lambda: engine().send(task, queue, client_id, row_id))


def wake_run(client_id: int, run_id: int) -> None:
    send("wake_run", "default", client_id, run_id)


def work_job(client_id: int, job_id: int, queue: str) -> None:
    send("work_job", queue, client_id, job_id)


def look_at_triggers(client_id: int, state_id: int) -> None:
    send("look_at_triggers", "default", client_id, state_id)


def look_at_host(client_id: int, host_id: int) -> None:
    send("look_at_host", "default", client_id, host_id)


def send_notice(client_id: int, notice_id: int) -> None:
    send("send_notice", "default", client_id, notice_id)


def send_delivery(client_id: int, delivery_id: int) -> None:
    send("send_delivery", "default", client_id, delivery_id)


def send_digest(agency_id: int, choice_id: int) -> None:
    send("send_digest", "default", agency_id, choice_id)


def read_file(client_id: int, batch_id: int) -> None:
    send("read_file", "cpu", client_id, batch_id)
