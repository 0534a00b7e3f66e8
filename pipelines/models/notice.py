"""The outbox: what people are told, written in the transaction that made it true."""

from django.db import models
from django.db.models import Q

from tenants.models.owned import ClientOwned


class Notice(ClientOwned):
    """Subject and body are composed when it is sent; `detail` keeps what was true when it was written.

    `unique(key)`: told once. `delivered` are those of the recipients who have it already; `detail["refused"]` those who
    are not tried any more, and why. `error` names whoever lacks it.
    """

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="notices")
    run = models.ForeignKey("pipelines.Run", on_delete=models.CASCADE, null=True, related_name="notices")
    kind = models.CharField(max_length=20)
    key = models.CharField(max_length=120)
    recipients = models.JSONField(default=list)
    delivered = models.JSONField(default=list)
    detail = models.JSONField(default=dict)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=("pipeline", "key"), name="notice_once"),)
        indexes = (
            models.Index(fields=("due_at",), condition=Q(due_at__isnull=False), name="notice_due"),
            # Asked after each mail: whether the agency was told that mail is down.
            models.Index(fields=("agency", "-id"), condition=Q(kind__in=("mail_down", "mail_up")), name="notice_mail"),
        )

    def __str__(self) -> str:
        return self.key
