"""Room for what holds the whole name of a host or is named by a person, where the database keeps to lengths."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("pipelines", "0025_late_by_queue"),
    ]

    operations = [
        migrations.AlterField(model_name="job", name="kind", field=models.CharField(max_length=120)),
        migrations.AlterField(model_name="scorecard", name="engine", field=models.CharField(max_length=200)),
        migrations.AlterField(model_name="gateresult", name="name", field=models.CharField(max_length=200)),
    ]
