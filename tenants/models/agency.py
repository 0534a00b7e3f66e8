"""An agency: the people who keep models alive for their clients."""

from django.db import models


class Agency(models.Model):
    """Global: the root of everything owned."""

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=60, unique=True)
    created_at = models.DateTimeField()
    # Whether a second person confirms; a client may say otherwise (tenants/people/four_eyes.py).
    two_for_promotion = models.BooleanField(default=False)
    two_for_thresholds = models.BooleanField(default=False)
    two_for_erasure = models.BooleanField(default=False)
    # What is asked of signing in (tenants/people/sign_in.py); empty is the installation's own.
    needs_factor = models.BooleanField(default=False)
    session_hours = models.PositiveSmallIntegerField(null=True)
    idle_minutes = models.PositiveSmallIntegerField(null=True)

    def __str__(self) -> str:
        return self.name
