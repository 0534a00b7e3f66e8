"""Runs that ended lately are counted by an index; on PostgreSQL the counts are functions."""

from django.db import migrations, models

from tenants.postgresql.belts import fasten


class Migration(migrations.Migration):

    dependencies = [
        ('pipelines', '0016_adapters_apart'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['finished_at'], name='run_finished'),
        ),
        migrations.RunPython(fasten, migrations.RunPython.noop),
    ]
