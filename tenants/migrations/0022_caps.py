"""What a client or an agency may use at most."""

import django.db.models.deletion
from django.db import migrations, models

from tenants.postgresql.belts import fasten


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0021_machines'),
    ]

    operations = [
        migrations.CreateModel(
            name='Cap',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('runs', 'Runs'), ('pipelines', 'Pipelines'), ('bytes', 'Bytes'), ('spend', 'Spend'), ('tokens', 'Tokens')], max_length=10)),
                ('most', models.PositiveBigIntegerField()),
                ('agency', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.agency')),
                ('client', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.client')),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(fields=('client', 'kind'), name='cap_once_per_client'), models.UniqueConstraint(condition=models.Q(('client__isnull', True)), fields=('agency', 'kind'), name='cap_once')],
            },
        ),
        migrations.RunPython(fasten, migrations.RunPython.noop),
    ]
