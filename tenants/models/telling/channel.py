"""A way to tell people that is no mail: a chat, an on-call service, a program."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q

from tenants.crypto import sealing
from tenants.models.owned import ClientOwned


class Channel(ClientOwned):
    """Of one client, or (`client` None) of the whole agency. Read inside the agency's scope.

    `sealed` is where it leads and what signs it: addresses of chats are secrets themselves, `host` is what is shown.
    `failing_since` is the first refusal since anything was taken. `revision` fences stale edits.
    """

    client = models.ForeignKey(  # type: ignore[assignment]
        "tenants.Client", on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    name = models.SlugField(max_length=60)
    kind = models.CharField(max_length=20)
    host = models.CharField(max_length=253)
    sealed = models.TextField()
    kinds = models.JSONField(default=list)
    revision = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True, blank=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_by = models.CharField(max_length=200, blank=True)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(fields=("agency", "name"), name="channel_name_per_agency"),
            models.CheckConstraint(name="channel_is_sealed", condition=~Q(sealed="")),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def place(self) -> str:
        """What its secret is sealed for."""
        return f"channel:{self.agency_id}:{self.name}"

    @property
    def is_on(self) -> bool:
        return self.disabled_at is None

    def secret(self) -> dict[str, Any]:
        """`url`, `key`, and `secrets`: [text, ends at or None], the newest first. Raises sealing.Unreadable."""
        return sealing.unseal(self.place, self.sealed)

    def signing(self, now: datetime) -> tuple[str, ...]:
        """The secrets that sign at this moment."""
        found = self.secret()["secrets"]
        return tuple(text for text, ends in found if ends is None or now < datetime.fromisoformat(ends))
