"""What the gateway allows: sizes, times and queue lengths, from the environment."""

from __future__ import annotations

from dataclasses import dataclass

from agency import env


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and bytes. `host_concurrency` and `host_queue` count requests of one model on one host.

    An Ollama host queues without bound for a loaded model and never answers 503 for it, so the bound stands here. It is
    kept per model first: a candidate that hangs must not take the places of production beside it. `host_total` bounds
    all models of a host together; it is to be well above `host_concurrency`.
    """

    body_bytes: int = 10 * 2**20
    answer_bytes: int = 32 * 2**20
    host_concurrency: int = 16
    host_queue: int = 256
    host_total: int = 64
    queue_s: float = 60.0
    connect_s: float = 3.0
    read_s: float = 120.0
    total_s: float = 900.0
    # Below the 5 s after which common servers close an idle connection: a request never meets one that is closing.
    keep_connection_s: float = 3.0
    # Who may read /metrics; empty: nobody, and the path is not there.
    prometheus_token: str = ""

    @classmethod
    def from_environment(cls) -> Limits:
        """RETUNE_GATEWAY_<NAME> overrides a limit."""
        return cls(
            body_bytes=env.integer("RETUNE_GATEWAY_BODY_BYTES", cls().body_bytes),
            host_concurrency=env.integer("RETUNE_GATEWAY_HOST_CONCURRENCY", cls().host_concurrency),
            host_queue=env.integer("RETUNE_GATEWAY_HOST_QUEUE", cls().host_queue),
            host_total=env.integer("RETUNE_GATEWAY_HOST_TOTAL", cls().host_total),
            queue_s=env.number("RETUNE_GATEWAY_QUEUE_S", cls().queue_s),
            connect_s=env.number("RETUNE_GATEWAY_CONNECT_S", cls().connect_s),
            read_s=env.number("RETUNE_GATEWAY_READ_S", cls().read_s),
            prometheus_token=env.text("RETUNE_PROMETHEUS_TOKEN"),
            total_s=env.number("RETUNE_GATEWAY_TOTAL_S", cls().total_s),
        )
