"""Pairs of held-out questions, which replay no body."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('pipelines', '0013_routes_tell'),
    ]

    operations = [
        migrations.AddField(
            model_name='replaypair',
            name='asked',
            field=models.JSONField(default=dict),
        ),
        migrations.AlterField(
            model_name='replaypair',
            name='body',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='pipelines.body'),
        ),
    ]
