"""Celery on Redis: ids only, JSON only, acknowledged early."""

from __future__ import annotations

from celery import current_app


class CeleryDispatch:
    def send(self, task: str, queue: str, client_id: int, row_id: int) -> None:
        current_app.send_task(f"pipelines.tasks.{task}", args=(client_id, row_id), queue=queue, ignore_result=True)
