"""What an agency asks of how its people sign in."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0023_host_agents'),
    ]

    operations = [
        migrations.AddField(
            model_name='agency',
            name='idle_minutes',
            field=models.PositiveSmallIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='agency',
            name='needs_factor',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='agency',
            name='session_hours',
            field=models.PositiveSmallIntegerField(null=True),
        ),
    ]
