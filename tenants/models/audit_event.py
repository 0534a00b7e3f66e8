"""The ledger of acts: append-only and hash-chained per agency."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from django.db import models, transaction

from tenants.models.agency import Agency
from tenants.models.client import Client
from tenants.models.owned import ClientOwned, Owned
from tenants.scope import ScopeError

GENESIS = "0" * 64
PSEUDONYM = "person:"


def pseudonym_of(email: str) -> str:
    """What stands for an address once its person is gone. A digest: it tells the acts of one from those of another."""
    return PSEUDONYM + hashlib.sha256(email.lower().encode()).hexdigest()[:32]


def _sealed(text: str) -> str:
    """Addresses enter a row's digest as their pseudonym, so that it still holds when only that is left."""
    return pseudonym_of(text) if "@" in text and " " not in text else text


class AuditEvent(ClientOwned):
    """An act of a person or key: at a client, or (`client` None) in the agency itself.

    One chain per client and one per agency. Each row's digest covers the row before it: removal or change breaks it.
    """

    client = models.ForeignKey(  # type: ignore[assignment]
        "tenants.Client", on_delete=models.CASCADE, null=True, related_name="+"
    )
    seq = models.PositiveIntegerField()
    at = models.DateTimeField()
    actor = models.CharField(max_length=200)
    verb = models.CharField(max_length=60)
    subject = models.CharField(max_length=200)
    detail = models.JSONField(default=dict)
    previous = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)

    class Meta(ClientOwned.Meta):
        ordering = ("client_id", "seq")
        # Two constraints, because SQLite tells every empty client from every other.
        constraints = (
            models.UniqueConstraint(fields=("client", "seq"), name="audit_seq_per_client"),
            models.UniqueConstraint(
                fields=("agency", "seq"), name="audit_seq_per_agency", condition=models.Q(client__isnull=True)
            ),
        )

    def __str__(self) -> str:
        return f"{self.actor} {self.verb} {self.subject}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise ScopeError("The ledger is append-only.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise ScopeError("The ledger is append-only.")

    def computed_digest(self) -> str:
        return self._digest(_sealed(self.actor), _sealed(self.subject))

    @property
    def is_whole(self) -> bool:
        """Rows of before 0012_four_eyes hold their addresses as they are."""
        return self.digest in (self.computed_digest(), self._digest(self.actor, self.subject))

    def _digest(self, actor: str, subject: str) -> str:
        at = self.at.astimezone(UTC).isoformat()
        body = [self.client_id, self.seq, at, actor, self.verb, subject, self.detail]
        text = json.dumps([self.previous, *body], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def pseudonymise(cls, email: str) -> int:
        """Puts the pseudonym in the place of an address, inside an agency's scope; gives how many rows had it.

        The one change that the database lets through. Rows whose digest is over the address itself keep it.
        """
        rows = cls.objects.filter(models.Q(actor=email) | models.Q(subject=email))
        found = [row for row in rows if row.digest == row.computed_digest()]
        for row in found:
            names = {name: pseudonym_of(email) for name in ("actor", "subject") if getattr(row, name) == email}
            cls.objects.filter(pk=row.pk).update(**names)
        return len(found)

    @classmethod
    def append(
        cls,
        owner: Owned | Agency,
        actor: str,
        verb: str,
        subject: str,
        at: datetime,
        detail: dict[str, Any] | None = None,
    ) -> AuditEvent:
        """Adds one act to the chain of the owner's client, or of the agency, inside the caller's transaction."""
        agency_id, client_id = (owner.pk, None) if isinstance(owner, Agency) else owner.owner()
        if agency_id is None:
            raise ScopeError("An act belongs to an agency at least.")
        with transaction.atomic():
            _lock_chain(agency_id, client_id)
            last = cls.objects.filter(agency_id=agency_id, client_id=client_id).order_by("-seq").first()
            seq, previous = (last.seq + 1, last.digest) if last else (1, GENESIS)
            fields = {"seq": seq, "previous": previous, "at": at, "actor": actor, "verb": verb, "subject": subject}
            row = cls(agency_id=agency_id, client_id=client_id, detail=detail or {}, **fields)
            row.digest = row.computed_digest()
            row.save()
        return row


def _lock_chain(agency_id: int, client_id: int | None) -> None:
    """Whoever appends holds the chain's owner until its commit: two acts at once get two numbers."""
    if client_id is None:
        Agency.objects.select_for_update().get(pk=agency_id)
    else:
        Client.objects.select_for_update().get(pk=client_id)
