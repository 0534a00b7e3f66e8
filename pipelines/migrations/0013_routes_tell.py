"""On PostgreSQL a committed route is told to whoever listens."""

from django.db import migrations

from tenants.postgresql.belts import fasten


class Migration(migrations.Migration):

    dependencies = [
        ('pipelines', '0012_drills'),
        ('tenants', '0006_freezes'),
    ]

    operations = [
        migrations.RunPython(fasten, migrations.RunPython.noop),
    ]
