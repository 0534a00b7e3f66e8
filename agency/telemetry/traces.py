"""Traces by a switch: where `RETUNE_OTLP_URL` names a collector, the spans of stages, jobs and requests go there."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured


def switch_on(url: str, service: str) -> None:
    """Spans are sent in batches by a thread of each process. A collector that is away costs its spans, nothing else."""
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as fault:
        raise ImproperlyConfigured(f"RETUNE_OTLP_URL is set: install Retune with its extra `otel` ({fault}).") from None
    if urlsplit(url).scheme not in ("http", "https"):
        raise ImproperlyConfigured("RETUNE_OTLP_URL must be an http(s) address, such as http://collector:4318.")
    provider = TracerProvider(resource=Resource.create({"service.name": service, "process.pid": os.getpid()}))
    exporter = OTLPSpanExporter(endpoint=f"{url.rstrip('/')}/v1/traces", timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
