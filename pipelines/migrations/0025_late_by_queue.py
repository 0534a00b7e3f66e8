"""What is late in each queue, and whether a worker took any of it."""

from django.db import migrations

from tenants.postgresql.belts import fasten


class Migration(migrations.Migration):
    dependencies = [
        ("pipelines", "0024_overview_at_size"),
        ("tenants", "0025_words_shared"),
    ]

    operations = [
        migrations.RunPython(fasten, migrations.RunPython.noop),
    ]
