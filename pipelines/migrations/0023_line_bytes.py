"""How much came in as lines and not as a file: it counts against caps too."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('pipelines', '0022_stage_finished'),
    ]

    operations = [
        migrations.AddField(
            model_name='batch',
            name='line_bytes',
            field=models.BigIntegerField(db_default=0, default=0),
        ),
    ]
