"""The program beside a host that nobody but it can reach, and what its host is asked through it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q

from tenants.models.owned import ClientOwned, ScopedQuerySet

SILENT_AFTER = timedelta(minutes=2)
PREFIX_CHARS = 8


class HostAgent(ClientOwned):
    """Stands beside one host of one client. `said` is what it last said of itself: versions, routes, records it holds.

    Its token is kept as a digest; revoked, it is told nothing and asked nothing, and serves its last routes.
    """

    host = models.OneToOneField("tenants.Host", on_delete=models.CASCADE, related_name="agent")
    prefix = models.CharField(max_length=PREFIX_CHARS, unique=True)
    digest = models.CharField(max_length=64, unique=True)
    said = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta(ClientOwned.Meta):
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"agent {self.prefix}"

    @classmethod
    def working(cls) -> ScopedQuerySet:
        rows: ScopedQuerySet = cls.objects.filter(revoked_at=None, host__is_enabled=True).select_related("host")
        return rows

    def is_silent(self, now: datetime) -> bool:
        return self.last_seen_at is None or now - self.last_seen_at > SILENT_AFTER


class HostCall(ClientOwned):
    """One request to a host, in the words of HTTP, on its way through the agent; gone as soon as its asker has it.

    Waiting until `claimed_at`; answered once `status` is set: 0 says that the host did not answer, and `answer` why.
    `digest` and `size_bytes` name the file of an upload, which the agent fetches by itself. `hand`: who of the agent
    claimed it, so that a claim whose answer was lost on the way is found again.
    """

    agent_row = models.ForeignKey(HostAgent, on_delete=models.CASCADE, related_name="calls")
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=200)
    body = models.BinaryField(default=bytes)
    digest = models.CharField(max_length=64, blank=True, default="")
    size_bytes = models.BigIntegerField(default=0)
    done_bytes = models.BigIntegerField(default=0)
    created_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True, blank=True)
    hand = models.CharField(max_length=40, blank=True, default="")
    heard_at = models.DateTimeField(null=True, blank=True)
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    content_type = models.CharField(max_length=100, blank=True, default="")
    answer = models.BinaryField(default=bytes)

    class Meta(ClientOwned.Meta):
        ordering = ("pk",)
        indexes = (models.Index(fields=("agent_row",), condition=Q(claimed_at__isnull=True), name="host_call_waiting"),)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"
