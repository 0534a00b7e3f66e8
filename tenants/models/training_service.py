"""Fine-tuning services that an agency uses, and which of its clients' rows may go there."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q

from tenants.crypto import sealing
from tenants.models.owned import AgencyOwned, ClientOwned


class TrainingService(AgencyOwned):
    """A seat at a service: never changed, only withdrawn. Who allowed its address allowed no other one.

    `model` is what the service calls our `base`. `sealed` holds the key.
    """

    name = models.SlugField(max_length=60)
    url = models.URLField(max_length=300)
    model = models.CharField(max_length=200)
    base = models.CharField(max_length=60)
    sealed = models.TextField(blank=True, default="")
    added_by = models.CharField(max_length=200)
    added_at = models.DateTimeField()
    withdrawn_by = models.CharField(max_length=200, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta(AgencyOwned.Meta):
        ordering = ("name", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=("agency", "name"), condition=Q(withdrawn_at__isnull=True), name="training_service_name"
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def place(self) -> str:
        """What its key is sealed for."""
        return f"training-service:{self.agency_id}:{self.name}"

    def secret(self) -> dict[str, Any]:
        """Raises sealing.Unreadable."""
        return sealing.unseal(self.place, self.sealed) if self.sealed else {}


class TrainingConsent(ClientOwned):
    """That a client's examples may be sent to the service of this name at this address; `withdrawn_at` ends it."""

    service = models.SlugField(max_length=60)
    url = models.URLField(max_length=300)
    allowed_by = models.CharField(max_length=200)
    allowed_at = models.DateTimeField()
    withdrawn_by = models.CharField(max_length=200, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta(ClientOwned.Meta):
        ordering = ("service", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=("client", "service"), condition=Q(withdrawn_at__isnull=True), name="training_consent_once"
            ),
        )

    def __str__(self) -> str:
        return self.service
