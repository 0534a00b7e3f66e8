"""An HTTP client behind the door: every connection is judged and pinned, every exchange has an end and a size."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpcore2
import httpx2

from pipelines.outbound.access import Access
from pipelines.outbound.names import Resolver, checked

CONNECT_TIMEOUT_S = 10.0
LONGEST_ANSWER_BYTES = 64 * 2**20
LIMITS = httpx2.Limits(max_connections=10, max_keepalive_connections=4, keepalive_expiry=5.0)


class AnswerTooLarge(httpx2.ReadError):
    """The answer is larger than anything that was asked for."""


def open_client(
    *,
    allow_private: bool,
    timeout_s: float,
    base_url: str = "",
    access: Access | None = None,
    resolve: Resolver | None = None,
    transport: httpx2.BaseTransport | None = None,
) -> httpx2.Client:
    """No redirects, no proxy of the machine, no compressed answers.

    Every request ends within `timeout_s`, from the first look-up to the last byte, or within what it says itself:
    `extensions={"deadline_s": 1800.0}`; one that fetches a file may say `longest_answer_bytes`. Raises OutboundRefused
    at the first request to a forbidden address; all else is an httpx2.HTTPError. `transport`: a way that connects to
    no address at all.
    """
    access = access or Access()
    return httpx2.Client(
        base_url=base_url,
        headers={"Accept-Encoding": "identity", **access.headers()},
        timeout=httpx2.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
        transport=transport or DoorTransport(access.tls(), allow_private, timeout_s, resolve),
        follow_redirects=False,
        trust_env=False,
    )


class Deadline(threading.local):
    """When the exchange that this thread is in must be over: one thread, one exchange at a time."""

    ends_at = float("inf")

    def begin(self, seconds: float) -> None:
        self.ends_at = time.monotonic() + seconds

    def left(self, wanted: float | None, late: type[Exception]) -> float | None:
        """The time-out of the next step."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise late("the exchange took longer than it may")
        return left if wanted is None or left < wanted else wanted


class DoorTransport(httpx2.HTTPTransport):
    def __init__(
        self, tls: ssl.SSLContext, allow_private: bool, timeout_s: float, resolve: Resolver | None = None
    ) -> None:
        super().__init__(verify=tls, trust_env=False, limits=LIMITS)
        self._timeout_s, self._deadline = timeout_s, Deadline()
        self._pool = httpcore2.ConnectionPool(
            ssl_context=tls,
            max_connections=LIMITS.max_connections,
            max_keepalive_connections=LIMITS.max_keepalive_connections,
            keepalive_expiry=LIMITS.keepalive_expiry,
            network_backend=PinnedBackend(allow_private, self._deadline, resolve),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self._deadline.begin(float(request.extensions.get("deadline_s", self._timeout_s)))
        response = super().handle_request(request)
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            response.close()
            raise httpx2.ReadError("the answer is compressed, which was not asked for")
        longest = int(request.extensions.get("longest_answer_bytes", LONGEST_ANSWER_BYTES))
        response.stream = BoundedAnswer(response.stream, longest)  # type: ignore[arg-type]
        return response


class BoundedAnswer(httpx2.SyncByteStream):
    def __init__(self, inner: httpx2.SyncByteStream, limit: int) -> None:
        self._inner, self._limit = inner, limit

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self._inner:
            size += len(chunk)
            if size > self._limit:
                raise AnswerTooLarge(f"the answer is larger than {self._limit} bytes")
            yield chunk

    def close(self) -> None:
        self._inner.close()


class PinnedBackend(httpcore2.NetworkBackend):
    """Looks a name up once for each connection, judges what it finds and connects to just that.

    TLS still verifies the name: the pool gives it to `start_tls`.
    """

    def __init__(self, allow_private: bool, deadline: Deadline, resolve: Resolver | None) -> None:
        self._inner, self._deadline = httpcore2.SyncBackend(), deadline
        self._allow_private, self._resolve = allow_private, resolve

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any
    ) -> httpcore2.NetworkStream:
        try:
            addresses = checked(host, port, self._allow_private, self._resolve)
        except OSError as fault:
            raise httpcore2.ConnectError(f"the name does not resolve ({fault.strerror})") from fault
        for address in addresses[:-1]:
            try:
                return self._connect(address, port, timeout, *args, **kwargs)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return self._connect(addresses[-1], port, timeout, *args, **kwargs)

    def _connect(self, address: str, port: int, timeout: float | None, *args: Any, **kwargs: Any) -> BoundedStream:
        within = self._deadline.left(timeout, httpcore2.ConnectTimeout)
        return BoundedStream(self._inner.connect_tcp(address, port, within, *args, **kwargs), self._deadline)

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        raise httpcore2.UnsupportedProtocol("no server is called through a socket file")


class BoundedStream(httpcore2.NetworkStream):
    """A connection whose every step ends at the deadline: a server that sends a byte a minute does not hold us."""

    def __init__(self, inner: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._inner, self._deadline = inner, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.left(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._deadline.left(timeout, httpcore2.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> BoundedStream:
        within = self._deadline.left(timeout, httpcore2.ConnectTimeout)
        return BoundedStream(self._inner.start_tls(ssl_context, server_hostname, within), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def reason_of(fault: BaseException) -> str:
    """Why there is no answer, in words that tell nothing of a network but what the address was meant to tell."""
    causes = list(_causes(fault))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "its name does not resolve"
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return "its certificate is not valid for this name"
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "no TLS connection: it may want a client certificate"
    if isinstance(fault, httpx2.TimeoutException):
        return "no answer in time"
    return "nobody takes the connection" if isinstance(fault, httpx2.ConnectError) else "the connection broke"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, the nearest first."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
