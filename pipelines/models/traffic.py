"""What the gateway met: minutes, hours and days, one line per exchange, bodies where wanted, and feedback."""

from django.db import models

from tenants.models.owned import ClientOwned


class Counted(models.Model):
    """What is counted of requests. `latency` and `first_token` are mergeable log-bucket histograms in ms

    (pipelines.domain.histogram); `first_token` holds streamed answers only.
    """

    requests = models.PositiveIntegerField(default=0)
    errors = models.PositiveIntegerField(default=0)
    bad = models.PositiveIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    latency = models.JSONField(default=dict)
    first_token = models.JSONField(default=dict)

    class Meta:
        abstract = True


class Traffic(Counted, ClientOwned):
    """One minute of one version on one host. Whoever counts into it takes `is_rolled_up` away again."""

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="traffic")
    version = models.ForeignKey("pipelines.ModelVersion", on_delete=models.CASCADE, related_name="traffic")
    host = models.CharField(max_length=60)
    arm = models.CharField(max_length=10)
    minute = models.DateTimeField()
    is_rolled_up = models.BooleanField(default=False)

    class Meta(ClientOwned.Meta):
        constraints = (models.UniqueConstraint(fields=("version", "host", "arm", "minute"), name="traffic_minute"),)
        indexes = (
            models.Index(fields=("pipeline", "minute"), name="traffic_by_minute"),
            models.Index(fields=("client",), name="traffic_not_rolled_up", condition=models.Q(is_rolled_up=False)),
        )

    def __str__(self) -> str:
        return f"{self.minute} {self.arm}"


class Unit(models.TextChoices):
    HOUR = "hour"
    DAY = "day"


class TrafficSpan(Counted, ClientOwned):
    """An hour or a day (UTC) of one version on one host: the sum of its minutes, made anew whenever one changed."""

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="traffic_spans")
    version = models.ForeignKey("pipelines.ModelVersion", on_delete=models.CASCADE, related_name="traffic_spans")
    host = models.CharField(max_length=60)
    arm = models.CharField(max_length=10)
    unit = models.CharField(max_length=4, choices=Unit)
    begins_at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        constraints = (
            models.UniqueConstraint(fields=("version", "host", "arm", "unit", "begins_at"), name="traffic_span"),
        )
        indexes = (models.Index(fields=("pipeline", "unit", "begins_at"), name="traffic_by_span"),)

    def __str__(self) -> str:
        return f"{self.unit} {self.begins_at} {self.arm}"


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
    first_token_ms = models.FloatField(null=True)
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


class Body(ClientOwned):
    """What was asked and answered in one exchange, where the client opted in. Of low trust: strangers wrote it.

    `request` is the JSON of the host's request without its model; `prompt_digest` tells equal ones. Redacted before it
    is written, never longer than the settings allow, and removed after their days, or when the client opts out.
    """

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="bodies")
    exchange = models.OneToOneField("pipelines.Exchange", on_delete=models.CASCADE, related_name="body")
    request = models.TextField()
    answer = models.TextField(blank=True)
    prompt_digest = models.CharField(max_length=64)
    at = models.DateTimeField()

    class Meta(ClientOwned.Meta):
        indexes = (models.Index(fields=("pipeline", "at"), name="body_by_time"),)

    def __str__(self) -> str:
        return f"body of {self.exchange_id}"


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
