"""Tables that the code of before and the code of now both stand: an upgrade migrates while the old one still writes."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import schema
from django.db.models import Field, Model


class DatabaseSchemaEditor(schema.DatabaseSchemaEditor):
    """Django drops a new column's default as soon as the rows that are there have it; here it stays.

    Processes of the version before go on inserting rows until they are replaced, and know nothing of the column.
    """

    def add_field(self, model: type[Model], field: Field[Any, Any]) -> None:
        super().add_field(model, field)
        if field.column is None or field.null or field.has_db_default():
            return
        default = self.effective_default(field)
        if default is not None:
            kept = {"column": self.quote_name(field.column), "default": "%s"}
            changes = self.sql_alter_column_default % kept
            table = self.quote_name(model._meta.db_table)
            self.execute(self.sql_alter_column % {"table": table, "changes": changes}, [default])
