"""Fine-tuning services of an agency, and the consents of its clients."""

import django.db.models.deletion
from django.db import migrations, models

from tenants.postgresql.belts import fasten


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0014_value'),
    ]

    operations = [
        migrations.CreateModel(
            name='TrainingConsent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('service', models.SlugField(max_length=60)),
                ('url', models.URLField(max_length=300)),
                ('allowed_by', models.CharField(max_length=200)),
                ('allowed_at', models.DateTimeField()),
                ('withdrawn_by', models.CharField(blank=True, max_length=200)),
                ('withdrawn_at', models.DateTimeField(blank=True, null=True)),
                ('agency', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.agency')),
                ('client', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.client')),
            ],
            options={
                'ordering': ('service', '-id'),
                'abstract': False,
                'base_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(condition=models.Q(('withdrawn_at__isnull', True)), fields=('client', 'service'), name='training_consent_once')],
            },
        ),
        migrations.CreateModel(
            name='TrainingService',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.SlugField(max_length=60)),
                ('url', models.URLField(max_length=300)),
                ('model', models.CharField(max_length=200)),
                ('base', models.CharField(max_length=60)),
                ('sealed', models.TextField(blank=True, default='')),
                ('added_by', models.CharField(max_length=200)),
                ('added_at', models.DateTimeField()),
                ('withdrawn_by', models.CharField(blank=True, max_length=200)),
                ('withdrawn_at', models.DateTimeField(blank=True, null=True)),
                ('agency', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.agency')),
            ],
            options={
                'ordering': ('name', '-id'),
                'abstract': False,
                'base_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(condition=models.Q(('withdrawn_at__isnull', True)), fields=('agency', 'name'), name='training_service_name')],
            },
        ),
        migrations.RunPython(fasten, migrations.RunPython.noop),
    ]
