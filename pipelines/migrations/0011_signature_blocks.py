"""Signatures packed by the block, in the place of 24 rows an example; rows are signed anew when they are next compared."""

import django.db.models.deletion
from django.db import migrations, models

from tenants.postgresql.belts import fasten, fasten_sqlite


class Migration(migrations.Migration):

    dependencies = [
        ('pipelines', '0010_prompt_versions'),
        ('tenants', '0006_freezes'),
    ]

    operations = [
        migrations.CreateModel(
            name='SignatureBlock',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.PositiveSmallIntegerField()),
                ('ids', models.BinaryField()),
                ('contents', models.BinaryField()),
                ('inputs', models.BinaryField()),
                ('agency', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.agency')),
                ('client', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.client')),
                ('pipeline', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.pipeline')),
            ],
            options={'ordering': ('id',), 'abstract': False, 'base_manager_name': 'objects'},
        ),
        migrations.DeleteModel(name='ExampleBand'),
        migrations.RunPython(fasten, migrations.RunPython.noop),
        migrations.RunPython(fasten_sqlite, migrations.RunPython.noop),
    ]
