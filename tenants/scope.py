"""Deny-by-default scope: no tenant row is read or written unless somebody said whose.

Entered by the web middleware, API authentication, the gateway's key look-up and the queue doors. On PostgreSQL the
database repeats the same rule as forced row-level security (see tenants/postgresql).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


class ScopeError(RuntimeError):
    """A tenant row was touched without a scope, or across its border: a programming error, never the user's."""


@dataclass(frozen=True)
class Scope:
    """Whose rows may be touched: one client's, one agency's, or (for a stated reason) no tenant's in particular."""

    agency_id: int | None = None
    client_id: int | None = None
    reason: str = ""

    @property
    def is_unscoped(self) -> bool:
        return bool(self.reason)

    def allows(self, agency_id: int | None, client_id: int | None) -> bool:
        if self.is_unscoped:
            return True
        if self.client_id is not None:
            return client_id == self.client_id
        return agency_id == self.agency_id


Entered = AbstractContextManager[Scope | None]

_current: ContextVar[Scope | None] = ContextVar("retune_scope", default=None)


def current() -> Scope | None:
    return _current.get()


def require() -> Scope:
    scope = _current.get()
    if scope is None:
        raise ScopeError(
            "No tenant scope is set. Enter client_scope(...) or agency_scope(...) before touching tenant rows."
        )
    return scope


@contextmanager
def entered(scope: Scope | None) -> Iterator[Scope | None]:
    token = _current.set(scope)
    try:
        yield scope
    finally:
        _current.reset(token)


def client_scope(client_id: int, agency_id: int | None = None) -> Entered:
    """Only rows of this client. The agency's id may be given so that new rows need no look-up."""
    return entered(Scope(agency_id=agency_id, client_id=client_id))


def agency_scope(agency_id: int) -> Entered:
    """All rows of one agency: staff pages."""
    return entered(Scope(agency_id=agency_id))


def unscoped(reason: str) -> Entered:
    """No tenant filter by the ORM; on PostgreSQL row-level security still hides tenant rows. Needs a reason."""
    if not reason.strip():
        raise ScopeError("unscoped() needs a reason.")
    return entered(Scope(reason=reason))


def narrow(client_id: int, agency_id: int) -> None:
    """From an agency's scope to one of its clients, for the rest of the request; widening is refused."""
    scope = _current.get()
    if scope is not None and not scope.is_unscoped and not scope.allows(agency_id, client_id):
        raise ScopeError(f"Scope may only become narrower: client {client_id} is outside {scope}.")
    _current.set(Scope(agency_id=agency_id, client_id=client_id))
