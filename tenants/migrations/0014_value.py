"""The agency's own figures for the value of the work; issued usage, which never changes."""

import django.db.models.deletion
from django.db import migrations, models

from tenants.postgresql.belts import fasten, fasten_issues


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0013_settings_presets'),
    ]

    operations = [
        migrations.CreateModel(
            name='UsageIssue',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('month', models.CharField(max_length=7)),
                ('number', models.PositiveSmallIntegerField()),
                ('lines', models.JSONField()),
                ('total', models.DecimalField(decimal_places=2, max_digits=14)),
                ('currency', models.CharField(max_length=3)),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('digest', models.CharField(max_length=64)),
                ('issued_by', models.CharField(max_length=200)),
                ('issued_at', models.DateTimeField()),
                ('agency', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.agency')),
                ('client', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.client')),
            ],
            options={
                'ordering': ('-month', '-number'),
                'abstract': False,
                'base_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(fields=('client', 'month', 'number'), name='usage_issue_number')],
            },
        ),
        migrations.CreateModel(
            name='ValueTerms',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('minutes', models.JSONField(default=dict)),
                ('prices', models.JSONField(default=dict)),
                ('currency', models.CharField(default='EUR', max_length=3)),
                ('shown', models.JSONField(default=list)),
                ('updated_at', models.DateTimeField()),
                ('agency', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.agency')),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(fields=('agency',), name='value_terms_once')],
            },
        ),
        migrations.RunPython(fasten, migrations.RunPython.noop),
        migrations.RunPython(fasten_issues, migrations.RunPython.noop),
    ]
