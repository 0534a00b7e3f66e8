"""What is kept for some days only: one line per exchange."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings

from pipelines.models import Exchange
from tenants import crossing, scope


def forget_old_exchanges(now: datetime) -> int:
    """Removes exchanges past their days, client by client, except those that somebody gave feedback on."""
    cut, gone = now - timedelta(days=settings.EXCHANGE_RETENTION_DAYS), 0
    for agency_id, client_id in crossing.ask("all_clients"):
        with scope.client_scope(client_id, agency_id):
            gone += Exchange.objects.filter(client_id=client_id, at__lt=cut, feedback__isnull=True).delete()[0]
    return gone
