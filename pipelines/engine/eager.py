"""In this process, one after the other: for tests and for commands that must not need a worker."""

from __future__ import annotations

from collections import deque
from importlib import import_module


class EagerDispatch:
    """Runs at once; what a task itself sends waits until that task is through, so the order is that of a queue."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[str, int, int]] = deque()
        self.is_draining = False

    def send(self, task: str, queue: str, client_id: int, row_id: int) -> None:
        self.waiting.append((task, client_id, row_id))
        if not self.is_draining:
            self.drain()

    def drain(self) -> None:
        tasks = import_module("pipelines.tasks")  # Upward by name only: the doors import the engine.
        self.is_draining = True
        try:
            while self.waiting:
                task, client_id, row_id = self.waiting.popleft()
                getattr(tasks, task)(client_id, row_id)
        finally:
            self.is_draining = False
