"""django-q2 with the ORM broker: two clusters, so that a training never delays a rollback."""

from __future__ import annotations

import logging

from django.db import DatabaseError
from django_q.tasks import async_task

log = logging.getLogger(__name__)


class Q2Dispatch:
    def send(self, task: str, queue: str, client_id: int, row_id: int) -> None:
        cluster = "wakes" if queue == "default" else "jobs"
        try:
            async_task(f"pipelines.tasks.{task}", client_id, row_id, cluster=cluster, save=False)
        except DatabaseError as error:
            # The row is committed and due: whoever asked has what they asked for, and the ticker sends again.
            log.warning("%s(%s) was not sent: %s", task, row_id, error)
