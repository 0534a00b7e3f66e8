"""Base classes of every tenant row: scoped managers, and writes that compare the owner."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from django.db import models

from tenants import scope
from tenants.scope import Scope, ScopeError


class ScopedQuerySet(models.QuerySet):
    """Every row of it lies inside the scope in which it was made."""

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        rows = list(objs)
        for row in rows:
            row.check_scope()
        return super().bulk_create(rows, *args, **kwargs)

    def bulk_update(self, objs: Iterable[Any], fields: Iterable[str], *args: Any, **kwargs: Any) -> int:
        rows = list(objs)
        for row in rows:
            row.check_scope()
        return super().bulk_update(rows, fields, *args, **kwargs)

    def update(self, **kwargs: Any) -> int:
        moved = {"client", "client_id", "agency", "agency_id"} & kwargs.keys()
        if moved:
            raise ScopeError(f"Rows never change their owner: {sorted(moved)}")
        return super().update(**kwargs)


class ScopedManager(models.Manager.from_queryset(ScopedQuerySet)):  # type: ignore[misc]
    """Raises when no scope is set; else hands out only the scope's rows."""

    def get_queryset(self) -> ScopedQuerySet:
        current = scope.require()
        found = super().get_queryset()
        return found if current.is_unscoped else found.filter(**self.model.scope_filter(current))


class Owned(models.Model):
    """A row that belongs to somebody."""

    objects = ScopedManager()

    class Meta:
        abstract = True
        base_manager_name = "objects"

    @classmethod
    def scope_filter(cls, current: Scope) -> dict[str, int | None]:
        raise ScopeError(f"{cls.__name__} does not say how it is scoped.")

    def owner(self) -> tuple[int | None, int | None]:
        """(agency_id, client_id) of this row."""
        raise ScopeError(f"{type(self).__name__} does not say whose it is.")

    def check_scope(self) -> None:
        current = scope.require()
        if not current.allows(*self.owner()):
            raise ScopeError(f"{type(self).__name__} of {self.owner()} written inside {current}.")

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.check_scope()
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        self.check_scope()
        return super().delete(*args, **kwargs)


class AgencyOwned(Owned):
    """A row of an agency: invisible inside a client's scope."""

    agency = models.ForeignKey("tenants.Agency", on_delete=models.CASCADE, related_name="+")

    class Meta(Owned.Meta):
        abstract = True

    @classmethod
    def scope_filter(cls, current: Scope) -> dict[str, int | None]:
        if current.client_id is not None:
            raise ScopeError(f"{cls.__name__} belongs to an agency; a client's scope cannot read it.")
        return {"agency_id": current.agency_id}

    def owner(self) -> tuple[int | None, int | None]:
        return self.agency_id, None


class ClientOwned(Owned):
    """A row of one client. `client_id` stands in every table, so that no join can cross a border unseen."""

    agency = models.ForeignKey("tenants.Agency", on_delete=models.CASCADE, related_name="+")
    client = models.ForeignKey("tenants.Client", on_delete=models.CASCADE, related_name="+")

    class Meta(Owned.Meta):
        abstract = True

    @classmethod
    def scope_filter(cls, current: Scope) -> dict[str, int | None]:
        return {"client_id": current.client_id} if current.client_id is not None else {"agency_id": current.agency_id}

    def owner(self) -> tuple[int | None, int | None]:
        return self.agency_id, self.client_id

    @classmethod
    def of(cls, parent: ClientOwned, /, **fields: Any) -> Self:
        """A new, unsaved row with the owner of `parent`."""
        return cls(agency_id=parent.agency_id, client_id=parent.client_id, **fields)

    def check_scope(self) -> None:
        super().check_scope()
        for field in self._meta.concrete_fields:
            self._check_neighbour(field)

    def _check_neighbour(self, field: Any) -> None:
        # SQLite has no composite foreign keys: compare the client of every related row that is at hand.
        if not field.is_relation or not field.is_cached(self):
            return
        other = getattr(self, field.name)
        if not isinstance(other, ClientOwned) or (other.client_id is None and other.agency_id == self.agency_id):
            return  # What belongs to the whole agency serves each of its clients.
        if other.client_id != self.client_id:
            raise ScopeError(f"{type(self).__name__}.{field.name} points into another client.")
