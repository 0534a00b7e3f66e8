"""Rehearsed rollbacks, one of a pipeline at a time."""

import django.db.models.deletion
from django.db import migrations, models

from tenants.postgresql.belts import fasten


class Migration(migrations.Migration):

    dependencies = [
        ('pipelines', '0011_signature_blocks'),
        ('tenants', '0006_freezes'),
    ]

    operations = [
        migrations.CreateModel(
            name='Drill',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('ordered_by', models.CharField(max_length=200)),
                ('is_passed', models.BooleanField(null=True)),
                ('sentence', models.TextField(blank=True)),
                ('hosts', models.JSONField(default=dict)),
                ('created_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('agency', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.agency')),
                ('client', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.client')),
                ('from_version', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='pipelines.modelversion')),
                ('pipeline', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='drills', to='tenants.pipeline')),
                ('to_version', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='pipelines.modelversion')),
            ],
            options={
                'ordering': ('-id',),
                'abstract': False,
                'base_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(condition=models.Q(('is_passed', None)), fields=('pipeline',), name='one_drill_at_a_time'), models.CheckConstraint(condition=models.Q(models.Q(('finished_at', None), ('is_passed', None)), models.Q(('finished_at__isnull', False), ('is_passed__isnull', False)), _connector='OR'), name='drill_ends_with_a_result')],
            },
        ),
        migrations.RunPython(fasten, migrations.RunPython.noop),
    ]
