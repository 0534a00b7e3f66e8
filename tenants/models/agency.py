"""An agency: the people who keep models alive for their clients."""

from django.db import models


class Agency(models.Model):
    """Global: the root of everything owned."""

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=60, unique=True)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
