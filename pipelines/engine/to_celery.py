"""Celery on Redis: ids only, JSON only, acknowledged early."""

from __future__ import annotations

import logging
from importlib import import_module

from celery import Celery
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)


class CeleryDispatch:
    """The app is found upward, by name only.

    `celery.current_app` is another one in every thread that never saw ours.
    """

    def __init__(self) -> None:
        self.app: Celery = import_module("agency.celery").app

    def send(self, task: str, queue: str, client_id: int, row_id: int) -> None:
        try:
            self.app.send_task(f"pipelines.tasks.{task}", args=(client_id, row_id), queue=queue, ignore_result=True)
        except OperationalError as error:
            # The row is committed and due: whoever asked has what they asked for, and the ticker sends again.
            log.warning("%s(%s) was not sent: %s", task, row_id, error)
