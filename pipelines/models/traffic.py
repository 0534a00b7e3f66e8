"""What the gateway met: minute rows, one line per exchange (no bodies), and feedback on answers."""

from django.db import models

from tenants.models.owned import ClientOwned


class Traffic(ClientOwned):
    """One minute of one version on one host.

    `latency` is a mergeable log-bucket histogram (pipelines.domain.histogram).
    """

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="traffic")
    version = models.ForeignKey("pipelines.ModelVersion", on_delete=models.CASCADE, related_name="traffic")
    host = models.CharField(max_length=60)
    arm = models.CharField(max_length=10)
    minute = models.DateTimeField()
    requests = models.PositiveIntegerField(default=0)
    errors = models.PositiveIntegerField(default=0)
    bad = models.PositiveIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    latency = models.JSONField(default=dict)

    class Meta(ClientOwned.Meta):
        constraints = (models.UniqueConstraint(fields=("version", "host", "arm", "minute"), name="traffic_minute"),)
        indexes = (models.Index(fields=("pipeline", "minute"), name="traffic_by_minute"),)

    def __str__(self) -> str:
        return f"{self.minute} {self.arm}"


class Exchange(ClientOwned):
    """One request and its answer, without bodies.

    `key_hash` is the assignment key's digest, for one outcome per key.
    """

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="exchanges")
    version = models.ForeignKey("pipelines.ModelVersion", on_delete=models.CASCADE, related_name="exchanges")
    rollout = models.ForeignKey("pipelines.Rollout", on_delete=models.SET_NULL, null=True, related_name="exchanges")
    request_id = models.CharField(max_length=40, unique=True)
    host = models.CharField(max_length=60)
    arm = models.CharField(max_length=10)
    key_hash = models.CharField(max_length=32)
    at = models.DateTimeField()
    finished_at = models.DateTimeField()
    latency_ms = models.FloatField(null=True)
    status = models.PositiveSmallIntegerField()
    is_error = models.BooleanField(default=False)
    is_transport_error = models.BooleanField(default=False)
    is_bad = models.BooleanField(null=True)
    is_after_load = models.BooleanField(default=False)
    input_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)

    class Meta(ClientOwned.Meta):
        ordering = ("at", "id")
        indexes = (
            models.Index(fields=("pipeline", "at"), name="exchange_by_time"),
            models.Index(fields=("rollout", "at"), name="exchange_by_rollout"),
        )

    def __str__(self) -> str:
        return self.request_id


class Feedback(ClientOwned):
    """What a user of the client said of one answer; found by request id. Its own, late stream."""

    exchange = models.ForeignKey("pipelines.Exchange", on_delete=models.CASCADE, related_name="feedback")
    is_good = models.BooleanField()
    correct_answer = models.TextField(blank=True)
    comment = models.TextField(blank=True)
    sent_by = models.CharField(max_length=200)
    at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        ordering = ("-id",)

    def __str__(self) -> str:
        return "good" if self.is_good else "bad"
