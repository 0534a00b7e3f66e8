"""How long the weights of a client's versions are kept."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0009_hosts_over_time'),
    ]

    operations = [
        migrations.AddField(
            model_name='client',
            name='keep_days',
            field=models.PositiveSmallIntegerField(default=90),
        ),
        migrations.AddField(
            model_name='client',
            name='keep_versions',
            field=models.PositiveSmallIntegerField(default=5),
        ),
    ]
