"""What a command names on its line: CLIENT or CLIENT/PIPELINE, with the client's scope opened."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from tenants import crossing, scope
from tenants.models import Client, Pipeline


@contextmanager
def opened_client(slug: str) -> Iterator[Client]:
    """The client, inside its scope. Slugs are unique in the installation."""
    client = _find(slug)
    with scope.client_scope(client.pk, client.agency_id):
        yield client


@contextmanager
def opened_pipeline(target: str) -> Iterator[Pipeline]:
    """The pipeline CLIENT/PIPELINE, inside its client's scope."""
    client_slug, _slash, slug = target.partition("/")
    with opened_client(client_slug) as client:
        found = Pipeline.objects.select_related("client", "revision").filter(client=client, slug=slug).first()
        if found is None:
            known = ", ".join(Pipeline.objects.filter(client=client).values_list("slug", flat=True)) or "-"
            words = {"client": client_slug, "slug": slug, "known": known}
            raise CommandError(_("%(client)s has no pipeline %(slug)s. It has: %(known)s.") % words)
        yield found


def operator() -> str:
    """How the ledger names whoever types: the account on this machine."""
    return f"{getpass.getuser()} (command line)"


def _find(slug: str) -> Client:
    for agency_id in sorted({agency_id for agency_id, _client_id in crossing.ask("all_clients")}):
        with scope.agency_scope(agency_id):
            client = Client.objects.filter(slug=slug).first()
        if client is not None:
            return client
    raise CommandError(_("There is no client %(slug)s.") % {"slug": slug})
