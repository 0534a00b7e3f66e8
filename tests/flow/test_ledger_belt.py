"""The ledger of acts refuses change below the ORM, on SQLite too."""

import pytest
from django.db import DatabaseError, connection

from tenants.models import AuditEvent, Client


def test_raw_sql_can_not_change_an_act(in_acorn: Client) -> None:
    assert AuditEvent.objects.filter(client=in_acorn).exists()

    with pytest.raises(DatabaseError, match="append-only"), connection.cursor() as cursor:
        cursor.execute("UPDATE tenants_auditevent SET actor = 'nobody'")
