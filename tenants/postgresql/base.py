"""Django's PostgreSQL backend, which tells the database whose rows the current scope may touch.

Row-level security (belts.py) reads `app.client_id` and `app.agency_id`. Both are set with SET LOCAL's semantics, so
they end with their transaction: a pooled connection hands nothing to the next request.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.db.backends.postgresql import base
from django.db.backends.utils import CursorDebugWrapper, CursorWrapper
from psycopg import ServerCursor
from psycopg.pq import TransactionStatus

from tenants import scope
from tenants.postgresql.schema import DatabaseSchemaEditor

Applied = tuple[str, str]  # (app.client_id, app.agency_id); '' is nobody's.
NOBODY: Applied = ("", "")
SET = "SELECT set_config('app.client_id', %s, true), set_config('app.agency_id', %s, true)"


def wanted() -> Applied:
    """What the settings must say now. A client's scope leaves the agency empty: the policies are OR-ed."""
    current = scope.current()
    if current is None or current.is_unscoped:
        return NOBODY
    if current.client_id is not None:
        return str(current.client_id), ""
    return "", "" if current.agency_id is None else str(current.agency_id)


class _Scoped(CursorWrapper):
    """Puts the scope in place before each statement."""

    db: DatabaseWrapper

    def _execute(self, sql: Any, params: Any, *ignored: Any) -> Any:
        with self.db.in_scope(goes_along=not isinstance(self.cursor, ServerCursor)):
            return super()._execute(sql, params, *ignored)

    def _executemany(self, sql: Any, param_list: Any, *ignored: Any) -> Any:
        with self.db.in_scope():
            return super()._executemany(sql, param_list, *ignored)


class _ScopedDebug(CursorDebugWrapper, _Scoped):
    """The same, noting queries for DEBUG and for tests that count them."""


class DatabaseWrapper(base.DatabaseWrapper):
    """`_applied` is what this transaction has been told; None when a savepoint's rollback may have changed it."""

    SchemaEditorClass = DatabaseSchemaEditor

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._applied: Applied | None = NOBODY

    def make_cursor(self, cursor: Any) -> CursorWrapper:
        return _Scoped(cursor, self)

    def make_debug_cursor(self, cursor: Any) -> CursorDebugWrapper:
        return _ScopedDebug(cursor, self)

    @contextmanager
    def in_scope(self, goes_along: bool = False) -> Iterator[None]:
        """Around one statement: the settings are right, in a short transaction of its own where there is none.

        `goes_along`: the statement may be sent in one message with them, and what is sent so is one transaction.
        """
        target = wanted()
        if not self.get_autocommit() or self.in_atomic_block:
            self._apply(target)
            yield
        elif target == NOBODY:  # Outside a transaction both settings are empty anyway.
            yield
        elif goes_along:
            with self.wrap_database_errors, self.connection.pipeline(), self.connection.cursor() as cursor:
                cursor.execute(SET, target)
                yield
        else:
            with transaction.atomic(using=self.alias):
                self._apply(target)
                yield

    def _apply(self, target: Applied) -> None:
        # In a failed transaction only ROLLBACK works; the statement at hand is it, or fails by itself.
        if target == self._applied or self.connection.info.transaction_status == TransactionStatus.INERROR:
            return
        with self.connection.cursor() as cursor:
            cursor.execute(SET, target)
        self._applied = target

    def _commit(self) -> Any:
        try:
            return super()._commit()
        finally:
            self._applied = NOBODY

    def _rollback(self) -> Any:
        try:
            return super()._rollback()
        finally:
            self._applied = NOBODY

    def _savepoint_rollback(self, sid: str) -> None:
        super()._savepoint_rollback(sid)
        self._applied = None

    def _set_autocommit(self, autocommit: bool) -> None:
        super()._set_autocommit(autocommit)
        self._applied = NOBODY

    def _close(self) -> Any:
        self._applied = NOBODY
        return super()._close()
