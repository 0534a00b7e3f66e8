"""Hosts are looked at over time: samples, drift, drain, and the sealed secret that lets us in."""

import django.db.models.deletion
from django.db import migrations, models
from django.utils import timezone

from tenants.postgresql.belts import fasten


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0008_people'),
    ]

    operations = [
        migrations.CreateModel(
            name='HostDrift',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('model_name', models.CharField(max_length=300)),
                ('kind', models.CharField(max_length=20)),
                ('expected', models.TextField(blank=True)),
                ('found', models.TextField(blank=True)),
                ('right_at', models.DateTimeField(null=True)),
                ('found_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('repaired_by', models.CharField(blank=True, default='', max_length=200)),
                ('repair_error', models.TextField(blank=True, default='')),
            ],
            options={
                'ordering': ('-found_at',),
                'abstract': False,
                'base_manager_name': 'objects',
            },
        ),
        migrations.CreateModel(
            name='HostSample',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('is_up', models.BooleanField()),
                ('latency_ms', models.FloatField(null=True)),
                ('version', models.CharField(blank=True, max_length=40)),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('names', models.PositiveIntegerField(null=True)),
                ('loaded', models.PositiveIntegerField(null=True)),
                ('used_bytes', models.BigIntegerField(null=True)),
                ('loaded_bytes', models.BigIntegerField(null=True)),
            ],
            options={
                'ordering': ('-at',),
                'abstract': False,
                'base_manager_name': 'objects',
            },
        ),
        migrations.AddField(
            model_name='host',
            name='access',
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AddField(
            model_name='host',
            name='drain_reason',
            field=models.CharField(blank=True, default='', max_length=500),
        ),
        migrations.AddField(
            model_name='host',
            name='drained_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='host',
            name='drained_by',
            field=models.CharField(blank=True, default='', max_length=200),
        ),
        migrations.AddField(
            model_name='host',
            name='drift_policy',
            field=models.CharField(choices=[('report', 'Report'), ('repair', 'Repair')], default='report', max_length=10),
        ),
        migrations.AddField(
            model_name='host',
            name='due_at',
            field=models.DateTimeField(blank=True, null=True, default=timezone.now),
        ),
        # Hosts that are there already are looked at from now on.
        migrations.AlterField(
            model_name='host',
            name='due_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='host',
            name='memory_bytes',
            field=models.BigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='host',
            name='sealed',
            field=models.TextField(blank=True, default=''),
        ),
        migrations.AddIndex(
            model_name='host',
            index=models.Index(condition=models.Q(('due_at__isnull', False)), fields=['due_at'], name='host_due'),
        ),
        migrations.AddField(
            model_name='hostdrift',
            name='agency',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.agency'),
        ),
        migrations.AddField(
            model_name='hostdrift',
            name='client',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.client'),
        ),
        migrations.AddField(
            model_name='hostdrift',
            name='host',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='drifts', to='tenants.host'),
        ),
        migrations.AddField(
            model_name='hostdrift',
            name='pipeline',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.pipeline'),
        ),
        migrations.AddField(
            model_name='hostsample',
            name='agency',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.agency'),
        ),
        migrations.AddField(
            model_name='hostsample',
            name='client',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.client'),
        ),
        migrations.AddField(
            model_name='hostsample',
            name='host',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='samples', to='tenants.host'),
        ),
        migrations.AddConstraint(
            model_name='hostdrift',
            constraint=models.UniqueConstraint(condition=models.Q(('ended_at__isnull', True)), fields=('host', 'model_name', 'kind'), name='drift_once_at_a_time'),
        ),
        migrations.AddIndex(
            model_name='hostsample',
            index=models.Index(fields=['host', '-at'], name='sample_of_host'),
        ),
        migrations.RunPython(fasten, migrations.RunPython.noop),
    ]
