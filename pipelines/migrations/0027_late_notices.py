"""Mails that reached nobody for long, however often they were tried."""

from django.db import migrations

from tenants.postgresql.belts import fasten


class Migration(migrations.Migration):
    dependencies = [
        ("pipelines", "0026_long_host_names"),
        ("tenants", "0025_words_shared"),
    ]

    operations = [
        migrations.RunPython(fasten, migrations.RunPython.noop),
    ]
