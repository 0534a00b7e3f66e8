"""Whose turn it is in a queue, and how fast a queue moves."""

import django.db.models.deletion
from django.db import migrations, models

from tenants.postgresql.belts import fasten


class Migration(migrations.Migration):
    dependencies = [
        ("pipelines", "0020_machines"),
        ("tenants", "0021_machines"),
    ]

    operations = [
        migrations.CreateModel(
            name="Turn",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("queue", models.CharField(max_length=10)),
                ("served_at", models.DateTimeField()),
            ],
            options={
                "abstract": False,
                "base_manager_name": "objects",
            },
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["queue", "finished_at"], name="job_pace"),
        ),
        migrations.AddField(
            model_name="turn",
            name="agency",
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.agency"),
        ),
        migrations.AddField(
            model_name="turn",
            name="client",
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.client"),
        ),
        migrations.AddConstraint(
            model_name="turn",
            constraint=models.UniqueConstraint(fields=("client", "queue"), name="turn_once_per_queue"),
        ),
        migrations.RunPython(fasten, migrations.RunPython.noop),
    ]
