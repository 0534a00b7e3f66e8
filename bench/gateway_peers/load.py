"""A load: raw connections that ask one after the other, so that the asking costs little beside the answering."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import uvloop


@dataclass(frozen=True)
class Spot:
    """Where to ask, and with what."""

    port: int
    path: str = "/api/chat"
    key: str = ""
    model: str = "support"


def request(spot: Spot, **fields: Any) -> bytes:
    """386 bytes of body, more or less, as in the design's measurements."""
    text = fields.pop("text", "Where is my invoice of last month? " * 8)
    document = {"model": spot.model, "messages": [{"role": "user", "content": text}], "stream": False, **fields}
    body = orjson.dumps(document)
    key = f"Authorization: Bearer {spot.key}\r\n" if spot.key else ""
    head = f"POST {spot.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{key}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Connection:
    """One kept connection. `ask` gives the status; 0 when the connection broke. `head` is the last answer's, lower."""

    def __init__(self, spot: Spot) -> None:
        self.spot = spot
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None
        self.head = b""

    async def ask(self, raw: bytes) -> int:
        try:
            if self.writer is None:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.spot.port, limit=2**20)
            self.writer.write(raw)
            return await self._answer()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.close()
            return 0

    async def _answer(self) -> int:
        assert self.reader is not None
        head = self.head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        at = head.find(b"content-length:")
        if at >= 0:
            await self.reader.readexactly(int(head[at + 15 :].split(b"\r\n", 1)[0]))
        else:
            await self._chunks()
        return int(head[9:12])

    async def _chunks(self) -> None:
        assert self.reader is not None
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            await self.reader.readexactly(size + 2)
        await self.reader.readexactly(2)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.writer = None


def until_ready(spot: Spot, within_s: float = 60.0) -> None:
    """Waits for the first 200: a gateway that has just begun may not know its routes yet."""

    async def run() -> None:
        deadline = time.monotonic() + within_s
        while (status := await Connection(spot).ask(request(spot))) != 200:
            assert time.monotonic() < deadline, f"{spot} answers {status} after {within_s:g} s"
            await asyncio.sleep(0.2)

    asyncio.run(run())


def side_by_side(spots: Sequence[Spot], number: int, rounds: int = 20) -> list[list[float]]:
    """Times in ms of one caller at each spot, in turns, so that a busy machine is as busy for all of them."""

    async def run() -> list[list[float]]:
        connections, times = [Connection(spot) for spot in spots], [list[float]() for _ in spots]
        for connection in connections:
            for _ in range(50):
                assert await connection.ask(request(connection.spot)) == 200
        for _ in range(rounds):
            for connection, found in zip(connections, times, strict=True):
                raw = request(connection.spot)
                for _ in range(number // rounds):
                    began = time.perf_counter()
                    await connection.ask(raw)
                    found.append((time.perf_counter() - began) * 1000)
        return times

    return uvloop.run(run())


def throughput(spot: Spot, callers: int, seconds: float, **fields: Any) -> tuple[float, float]:
    """(answers per second, p99 in ms) of so many callers at once. Refuses a peer that does not answer with 200."""

    async def caller(raw: bytes, until: float, times: list[float]) -> None:
        connection = Connection(spot)
        while (began := time.perf_counter()) < until:
            status = await connection.ask(raw)
            assert status == 200, f"{spot} answered {status}"
            times.append((time.perf_counter() - began) * 1000)
        connection.close()

    async def run() -> tuple[float, float]:
        raw, times = request(spot, **fields), list[float]()
        warm = Connection(spot)
        status = await warm.ask(raw)
        assert status == 200, f"{spot} answered {status}"
        warm.close()
        began = time.perf_counter()
        await asyncio.gather(*(caller(raw, began + seconds, times) for _ in range(callers)))
        return len(times) / (time.perf_counter() - began), statistics.quantiles(times, n=100)[98]

    return uvloop.run(run())
