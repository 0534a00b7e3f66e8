"""Row-level security, owner-true foreign keys, crossings, and the append-only ledger."""

from django.db import migrations

from tenants.postgresql.belts import fasten, fasten_sqlite


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0001_initial"), ("tenants", "0001_initial")]

    operations = [
        migrations.RunPython(fasten, migrations.RunPython.noop),
        migrations.RunPython(fasten_sqlite, migrations.RunPython.noop),
    ]
