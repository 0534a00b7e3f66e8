"""Keys of programs: who asks, for which client, with which verbs. Cookies never authenticate here."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja.errors import AuthorizationError
from ninja.security import HttpBearer

from tenants import crossing, scope
from tenants.models import ApiKey
from tenants.models.api_key import digest_of

USED_PRECISION = timedelta(minutes=1)


class Key(HttpBearer):
    """`Authorization: Bearer rk_...`; the key must carry at least one of the verbs. Opens its client's scope.

    An unknown or revoked key is 401, a key without the verb 403.
    """

    def __init__(self, *verbs: str) -> None:
        super().__init__()
        self.verbs = verbs

    def authenticate(self, request: HttpRequest, token: str) -> ApiKey | None:
        key = key_of(token)
        if key is None:
            return None
        if not set(self.verbs) & set(key.verbs):
            needed = _(" or ").join(self.verbs)
            raise AuthorizationError(message=_("This key may not do that. It needs: %(verbs)s.") % {"verbs": needed})
        scope.narrow(key.client_id, key.agency_id)
        _touch(key, timezone.now())
        return key


def key_of(token: str) -> ApiKey | None:
    """The key with this text, unless it is unknown or revoked. Found by digest: no text is compared."""
    found = crossing.ask("key_by_digest", digest=digest_of(token))
    if not found:
        return None
    client_id, key_id = found[0]
    with scope.client_scope(client_id):
        return ApiKey.objects.select_related("client").get(pk=key_id)


def _touch(key: ApiKey, now: datetime) -> None:
    """At most one write a minute: a busy key must not become a busy row."""
    stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - USED_PRECISION)
    if key.last_used_at is None or key.last_used_at < now - USED_PRECISION:
        ApiKey.objects.filter(stale, pk=key.pk, client_id=key.client_id).update(last_used_at=now)


def actor_of(key: ApiKey) -> str:
    """How the ledger names the key: its name and the public part of its text."""
    return f"{key.name} (rk_{key.prefix})"
