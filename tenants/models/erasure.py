"""That a client was here and is gone: what went, by digest, and the certificate that says so."""

from __future__ import annotations

from django.db import models

from tenants.models.owned import AgencyOwned


class Erasure(AgencyOwned):
    """Ordered, then carried out: rows first, files after them, the certificate last. Goes on where it broke off.

    `former_id` is the client's number; `facts` are what is signed; `scratch` are numbers of jobs whose folders go with
    the files. A row with a certificate never changes, and none is ever removed: the databases hold that.
    """

    former_id = models.BigIntegerField()
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=60)
    reason = models.CharField(max_length=500)
    ordered_by = models.CharField(max_length=200)
    confirmed_by = models.CharField(max_length=200, blank=True, default="")
    ordered_at = models.DateTimeField()
    rows_gone_at = models.DateTimeField(null=True, blank=True)
    facts = models.JSONField(default=dict)
    scratch = models.JSONField(default=list)
    certificate = models.TextField(blank=True, default="")

    class Meta(AgencyOwned.Meta):
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=("former_id",), name="erased_once"),)

    def __str__(self) -> str:
        return f"erasure of {self.slug}"

    @property
    def is_done(self) -> bool:
        return bool(self.certificate)
