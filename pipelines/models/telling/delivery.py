"""A notice on its way to a channel."""

from django.db import models
from django.db.models import Q

from tenants.models.owned import ClientOwned


class DeliveryStatus(models.TextChoices):
    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"
    DROPPED = "dropped"


class Delivery(ClientOwned):
    """`message_id` and `event` stay the same at every try and in a replay: whoever gets it twice can tell.

    `event` is what is said, kept from the first try on. `asked_by` is the person who sent it again.
    """

    notice = models.ForeignKey("pipelines.Notice", on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey("tenants.Channel", on_delete=models.CASCADE, related_name="deliveries")
    message_id = models.CharField(max_length=40)
    event = models.JSONField(default=dict)
    status = models.CharField(max_length=10, choices=DeliveryStatus.choices, default=DeliveryStatus.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.CharField(max_length=500, blank=True)
    asked_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    tried_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta(ClientOwned.Meta):
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("notice", "channel"), condition=Q(asked_by=""), name="delivered_once_by_itself"
            ),
            models.CheckConstraint(
                name="delivery_due_while_waiting", condition=Q(due_at__isnull=True) | Q(status="waiting")
            ),
        )
        indexes = (models.Index(fields=("due_at",), condition=Q(due_at__isnull=False), name="delivery_due"),)

    def __str__(self) -> str:
        return self.message_id
