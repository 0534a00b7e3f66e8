"""django-q2 with the ORM broker: two clusters, so that a training never delays a rollback."""

from __future__ import annotations

from django_q.tasks import async_task


class Q2Dispatch:
    def send(self, task: str, queue: str, client_id: int, row_id: int) -> None:
        cluster = "wakes" if queue == "default" else "jobs"
        async_task(f"pipelines.tasks.{task}", client_id, row_id, cluster=cluster, save=False)
