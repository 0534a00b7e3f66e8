"""Invitations; staff of named clients; sessions that can be ended."""

import django.db.models.deletion
from django.db import migrations, models

from tenants.postgresql.belts import fasten


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0007_sharing'),
    ]

    operations = [
        migrations.CreateModel(
            name='Invitation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('email', models.EmailField(max_length=254)),
                ('role', models.CharField(choices=[('owner', 'owner'), ('engineer', 'engineer'), ('viewer', 'viewer'), ('reader', 'reader')], max_length=10)),
                ('digest', models.CharField(max_length=64, unique=True)),
                ('invited_by', models.CharField(max_length=200)),
                ('created_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField()),
                ('accepted_at', models.DateTimeField(blank=True, null=True)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ('-id',),
                'abstract': False,
                'base_manager_name': 'objects',
            },
        ),
        migrations.RemoveConstraint(
            model_name='membership',
            name='reader_once',
        ),
        migrations.RemoveConstraint(
            model_name='membership',
            name='reader_has_client',
        ),
        migrations.AddField(
            model_name='user',
            name='epoch',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddConstraint(
            model_name='membership',
            constraint=models.UniqueConstraint(fields=('user', 'client'), name='member_once_per_client'),
        ),
        migrations.AddConstraint(
            model_name='membership',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('client__isnull', True), ('role', 'reader'), _negated=True), models.Q(('client__isnull', False), ('role', 'owner'), _negated=True)), name='role_fits_place'),
        ),
        migrations.AddField(
            model_name='invitation',
            name='agency',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.agency'),
        ),
        migrations.AddField(
            model_name='invitation',
            name='client',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.client'),
        ),
        migrations.AddConstraint(
            model_name='invitation',
            constraint=models.CheckConstraint(condition=models.Q(('client', None), ('role', 'reader'), _negated=True), name='reader_is_invited_to_a_client'),
        ),
        migrations.RunPython(fasten, migrations.RunPython.noop),
    ]
