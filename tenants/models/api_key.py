"""Keys of programs: scoped to one client and to verbs, stored hashed, shown once."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Any

from django.db import models

from tenants.models.client import Client
from tenants.models.owned import ClientOwned

PREFIX_CHARS = 8


def digest_of(key: str) -> str:
    # A key carries 256 random bits, so a fast hash is enough: nothing to guess by dictionary.
    return hashlib.sha256(key.encode()).hexdigest()


class ApiKey(ClientOwned):
    """`verbs` are the only things it may do (see tenants.access.KEY_VERBS); "gateway" lets it ask the models.

    The two limits are for asking the models: each gateway process allows so much a minute; None is no limit.
    """

    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=PREFIX_CHARS, unique=True)
    digest = models.CharField(max_length=64, unique=True)
    verbs = models.JSONField(default=list)
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} (rk_{self.prefix}...)"

    @property
    def is_limited(self) -> bool:
        return self.requests_per_minute is not None or self.tokens_per_minute is not None

    @classmethod
    def issue(cls, client: Client, name: str, verbs: list[str], now: datetime, **limits: Any) -> tuple[ApiKey, str]:
        """Makes a key; its text is returned once and kept nowhere. `limits` by their columns."""
        prefix = secrets.token_hex(PREFIX_CHARS // 2)
        text = f"rk_{prefix}_{secrets.token_urlsafe(32)}"
        fields: dict[str, Any] = {"prefix": prefix, "digest": digest_of(text), "verbs": sorted(verbs)}
        row = cls(agency_id=client.agency_id, client=client, name=name, created_at=now, **fields, **limits)
        row.save()
        return row, text
