"""One request from its caller to a host and back: which arm, which attempts, what the meter hears."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from agency.gateway.arms import Arms
from agency.gateway.asks import Ask, about_tokens
from agency.gateway.deliver import deliver
from agency.gateway.meter.sighting import Arm, Fault, Sighting
from agency.gateway.routes.snapshot import Place, RouteEntry, Target
from agency.gateway.upstream import Busy, Failed, Upstream
from agency.gateway.wire import Header, Refused, Send

FindEntry = Callable[[], RouteEntry]
PRODUCTION_PLACES = 3
# A route may change again while a request waits; after this many changes it is refused as busy.
ROUNDS = 4
# After the end of a request: a host that is silent until then is told of first, by the session's own rounded clock.
UNREAD_S = 2.0
# Ids need to be unique, not secret: asking the system for each would let go of the interpreter lock every time.
_ids = random.Random(os.urandom(32))


class Meter(Protocol):
    """Takes sightings; never blocks, never raises."""

    def put(self, sighting: Sighting) -> None: ...


class Unread(ConnectionError):
    """The caller keeps its connection and does not read what it is sent."""


class Withdrawn(Exception):
    """While the request waited for its turn, its version was taken out of the route."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One version on one host, in one arm."""

    arm: Arm
    target: Target
    place: Place


@dataclass(slots=True)
class Proxy:
    """Guarantees: an answer comes from one attempt alone; another starts only while the caller has not one byte."""

    upstream: Upstream
    meter: Meter
    arms: Arms = field(default_factory=Arms)

    async def answer(self, ask: Ask, find_entry: FindEntry, send: Send) -> None:
        """Answers the caller through `send`. Raises `Refused` when no host could."""
        entry = find_entry()
        arm = self.arms.choose(entry, ask.key)
        request_id = f"{_ids.getrandbits(128):032x}"
        for _ in range(ROUNDS):
            try:
                return await self._answer_by(entry, arm, request_id, ask, find_entry, send)
            except Withdrawn:
                # No new choice of arm: a key that was the candidate's goes to production, as after a rollback.
                entry, arm = find_entry(), Arm.PRODUCTION
        raise Refused(503, "server busy, please try again", _marks(request_id))

    async def _answer_by(
        self, entry: RouteEntry, arm: Arm, request_id: str, ask: Ask, find_entry: FindEntry, send: Send
    ) -> None:
        refused = Refused(503, nobody(entry, ask.model), _marks(request_id))
        for number, attempt in enumerate(self._attempts(entry, arm), 1):
            try:
                return await self._try(_Try(entry, attempt, request_id, number, ask, find_entry), send)
            except Failed as failed:
                refused = Refused(failed.status, failed.message, _marks(request_id))
            except Busy as busy:
                refused = Refused(503, str(busy), _marks(request_id))
        raise refused

    def _attempts(self, entry: RouteEntry, arm: Arm) -> Iterator[Attempt]:
        """The candidate once, then production on its hosts, the least loaded first."""
        candidate = entry.target(entry.candidate) if entry.candidate is not None and arm is Arm.CANDIDATE else None
        if candidate is not None:
            yield from (Attempt(Arm.CANDIDATE, candidate, place) for place in self._ordered(candidate)[:1])
        production = entry.target(entry.production)
        if production is not None:
            as_arm = Arm.PRODUCTION if candidate is None else Arm.FALLBACK
            yield from (Attempt(as_arm, production, place) for place in self._ordered(production)[:PRODUCTION_PLACES])

    def _ordered(self, target: Target) -> list[Place]:
        return sorted(target.open_places, key=lambda place: self.upstream.pool(place).load)

    async def _try(self, tried: _Try, send: Send) -> None:
        attempt = tried.attempt
        async with self.upstream.pool(attempt.place).place(self.upstream.limits.queue_s) as has_waited:
            if has_waited:
                tried.check_route()
            sighting = tried.sighting()
            try:
                await self._exchange(tried, sighting, send)
            except Failed as failed:
                # The caller's request id names the answer it got: an attempt that gave none is kept under its own.
                sighting.request_id = f"{tried.request_id}-{tried.number}"
                sighting.status = failed.status
                sighting.finish(failed.fault)
                raise
            finally:
                if sighting.finished_at is None:
                    sighting.asked_tokens = about_tokens(tried.ask.document)
                    sighting.finish(Fault.LEFT)
                self.meter.put(sighting)

    async def _exchange(self, tried: _Try, sighting: Sighting, send: Send) -> None:
        ask, place = tried.ask, tried.attempt.place
        payload = ask.payload(place.model_name, tried.attempt.target.system)
        total_s = self.upstream.limits.total_s  # 0: no end, here as for the exchange with the host.
        ends_at = asyncio.get_running_loop().time() + total_s + UNREAD_S if total_s else None
        async with self.upstream.ask(place, ask.path, payload, ask.is_stream) as answer:
            sighting.status = answer.status
            headers = _marks(tried.request_id, tried.attempt)
            try:
                async with asyncio.timeout_at(ends_at):
                    await deliver(answer, ask, send, headers, sighting)
            except TimeoutError:
                raise Unread("the caller does not read its answer") from None
            sighting.finish()


@dataclass(frozen=True, slots=True)
class _Try:
    """An attempt with the request it is for. `number` counts from 1."""

    entry: RouteEntry
    attempt: Attempt
    request_id: str
    number: int
    ask: Ask
    find_entry: FindEntry

    def check_route(self) -> None:
        now = self.find_entry()
        if self.attempt.target.number not in (now.production, now.candidate):
            raise Withdrawn

    def sighting(self) -> Sighting:
        attempt = self.attempt
        key_hash = self.ask.key.value
        sighting = Sighting(
            self.request_id, self.entry, attempt.target, attempt.arm, attempt.place, key_hash, self.ask.path
        )
        sighting.asked = self.ask.document if self.entry.bodies else None
        sighting.spend = self.ask.spend
        return sighting


def nobody(entry: RouteEntry, model: str) -> str:
    """Why nobody could be asked; where its only hosts have gateways of their own, which those are."""
    target = entry.target(entry.production)
    behind = sorted({place.host for place in target.places if not place.url}) if target is not None else []
    if not behind:
        return f"no host has model '{model}' right now"
    return (
        f"model '{model}' is not served here: its host {', '.join(behind[:5])} can be reached by its own network only. "
        f"Ask the gateway beside it, usually http://127.0.0.1:8430 on that machine, with the same key"
    )


def _marks(request_id: str, attempt: Attempt | None = None) -> list[Header]:
    """The response headers by which a caller can give feedback and see what answered."""
    marks = [(b"x-retune-request-id", request_id.encode())]
    if attempt is not None:
        version = f"v{attempt.target.number}".encode()
        marks += [(b"x-retune-version", version), (b"x-retune-arm", attempt.arm.encode())]
    return marks
