"""Real HTTP traffic through the gateway: conversations with keys of their own, counted by arm."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self
from uuid import uuid4

import aiohttp

TIMEOUT_S = 20.0


@dataclass
class Traffic:
    """Sends prompts at `per_s` from a thread until it is closed. `arms` counts answers by (version, arm)."""

    gateway: str
    key: str
    model: str
    prompts: Sequence[list[dict[str, str]]]
    per_s: float = 25.0
    at_once: int = 4
    arms: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=lambda: asyncio.run(self._all()), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    async def _all(self) -> None:
        order = list(self.prompts)
        random.Random(1).shuffle(order)
        source = itertools.cycle(order)
        headers = {"Authorization": f"Bearer {self.key}"}
        async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(TIMEOUT_S)) as session:
            await asyncio.gather(*(self._caller(session, source) for _ in range(self.at_once)))

    async def _caller(self, session: aiohttp.ClientSession, source: itertools.cycle) -> None:
        while not self.stop.is_set():
            began = asyncio.get_running_loop().time()
            with suppress(aiohttp.ClientError, TimeoutError):
                await self._ask(session, next(source))
            spent = asyncio.get_running_loop().time() - began
            await asyncio.sleep(max(0.0, self.at_once / self.per_s - spent))

    async def _ask(self, session: aiohttp.ClientSession, messages: list[dict[str, str]]) -> None:
        body = {
            "model": self.model,
            "messages": messages,
            "stream": False,
            "options": {"temperature": 0, "num_predict": 32},
        }
        headers = {"X-Conversation-Id": uuid4().hex}
        async with session.post(f"{self.gateway}/api/chat", json=body, headers=headers) as response:
            await response.read()
            version, arm = (response.headers.get(f"X-Retune-{name}", "-") for name in ("Version", "Arm"))
            self.arms[f"{version} {arm}"] += 1
            self.failed += response.status >= 500
