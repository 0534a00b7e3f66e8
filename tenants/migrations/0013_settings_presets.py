"""Presets of an agency that pipelines follow."""

import django.db.models.deletion
from django.db import migrations, models

from tenants.postgresql.belts import fasten


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0012_four_eyes'),
    ]

    operations = [
        migrations.AddField(
            model_name='pipeline',
            name='own_fields',
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.CreateModel(
            name='SettingsPreset',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200)),
                ('slug', models.SlugField(max_length=60)),
                ('version', models.PositiveIntegerField(default=1)),
                ('body', models.JSONField()),
                ('changed_by', models.CharField(max_length=200)),
                ('changed_at', models.DateTimeField()),
                ('agency', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.agency')),
            ],
            options={
                'ordering': ('name',),
                'abstract': False,
                'base_manager_name': 'objects',
            },
        ),
        migrations.AddField(
            model_name='pipeline',
            name='preset',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.settingspreset'),
        ),
        migrations.AddConstraint(
            model_name='settingspreset',
            constraint=models.UniqueConstraint(fields=('agency', 'slug'), name='preset_slug_per_agency'),
        ),
        migrations.RunPython(fasten, migrations.RunPython.noop),
    ]
