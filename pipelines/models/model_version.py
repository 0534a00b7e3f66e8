"""A model version: bytes with a name, and its card."""

from __future__ import annotations

from django.db import models

from tenants.models.owned import ClientOwned


class ModelVersion(ClientOwned):
    """`v<number>` of a pipeline. `card` keeps every fact of the version card that has no column of its own.

    `parent`: whose bytes these are, where only the prompt or parameters differ. `system` is baked into the name on the
    host; `replaces_system`: the gateway gives it in place of an application's own. `parameters` as hosts name them.

    `lora_digest`: of the LoRA that hosts load over the base's file, whose digest is `gguf_digest` then; empty where all
    is one merged file. `adapter_digest` is what the trainer gave, packed. `gguf_bytes` is of all that a host is sent.

    `status`: candidate -> production -> archived, or rejected, or rolled_back.
    """

    pipeline = models.ForeignKey("tenants.Pipeline", on_delete=models.CASCADE, related_name="versions")
    run = models.OneToOneField("pipelines.Run", on_delete=models.CASCADE, related_name="model_version")
    dataset = models.ForeignKey("pipelines.DatasetVersion", on_delete=models.PROTECT, null=True, related_name="+")
    parent = models.ForeignKey("self", on_delete=models.RESTRICT, null=True, blank=True, related_name="+")
    system = models.TextField(blank=True)
    replaces_system = models.BooleanField(default=False)
    parameters = models.JSONField(default=dict, blank=True)
    number = models.PositiveIntegerField()
    status = models.CharField(max_length=12, default="candidate")
    gguf_digest = models.CharField(max_length=64)
    gguf_bytes = models.BigIntegerField()
    template_digest = models.CharField(max_length=64, blank=True)
    adapter_digest = models.CharField(max_length=64, blank=True)
    lora_digest = models.CharField(max_length=64, blank=True)
    card = models.JSONField(default=dict)
    approved_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    promoted_at = models.DateTimeField(null=True, blank=True)

    class Meta(ClientOwned.Meta):
        ordering = ("-number",)
        constraints = (models.UniqueConstraint(fields=("pipeline", "number"), name="version_number_per_pipeline"),)

    def __str__(self) -> str:
        return f"v{self.number}"

    @property
    def is_prompt(self) -> bool:
        """Whether this is the parent's model under another prompt or other parameters."""
        return self.parent_id is not None

    @property
    def shares_file(self) -> bool:
        """Whether an earlier version has the same bytes: then facts that stand beside them go by this one's name."""
        return self.is_prompt or "same_as" in self.card

    @property
    def is_adopted(self) -> bool:
        """Whether it ran on a host before anybody built it here: its bytes are only there."""
        return "adopted" in self.card

    @property
    def files(self) -> tuple[str, ...]:
        """Digests of what a host is sent: the model, and the LoRA where it goes apart."""
        return tuple(digest for digest in (self.gguf_digest, self.lora_digest) if digest)

    @property
    def own_digest(self) -> str:
        """Of the file that no version of other weights has."""
        return self.lora_digest or self.gguf_digest

    def takes_turns_with(self, other: ModelVersion) -> bool:
        """Whether a host can have only one of both loaded: it runs one process for each model file."""
        return self.gguf_digest == other.gguf_digest and self.lora_digest != other.lora_digest

    @property
    def label(self) -> str:
        return f"v{self.number}"
