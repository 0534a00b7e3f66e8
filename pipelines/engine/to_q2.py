"""django-q2 with the ORM broker: three clusters, so that a training never delays a rollback."""

from __future__ import annotations

import logging

from django.db import DatabaseError
from django_q.tasks import async_task

log = logging.getLogger(__name__)
# What goes to hosts (a version brought back, an alias moved) waits for no training either.
CLUSTERS = {"default": "wakes", "push": "pushes"}


class Q2Dispatch:
    def send(self, task: str, queue: str, client_id: int, row_id: int) -> None:
        cluster = CLUSTERS.get(queue, "jobs")
        try:
            async_task(f"pipelines.tasks.{task}", client_id, row_id, cluster=cluster, save=False)
        except DatabaseError as error:
            # The row is committed and due: whoever asked has what they asked for, and the ticker sends again.
            log.warning("%s(%s) was not sent: %s", task, row_id, error)
