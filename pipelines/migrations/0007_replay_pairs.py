"""Prompts that two versions answered again as pairs; rollouts that a person paused."""

import django.db.models.deletion
from django.db import migrations, models

from tenants.postgresql.belts import fasten, fasten_sqlite


class Migration(migrations.Migration):
    dependencies = [
        ("pipelines", "0006_traffic_meter"),
        ("tenants", "0003_eval_sets"),
    ]

    operations = [
        migrations.AddField(
            model_name="rollout",
            name="pause_reason",
            field=models.CharField(blank=True, max_length=500),
        ),
        migrations.AddField(
            model_name="rollout",
            name="paused_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="rollout",
            name="paused_by",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.CreateModel(
            name="ReplayPair",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("phase", models.CharField(max_length=8)),
                ("prompt_digest", models.CharField(max_length=64)),
                ("candidate", models.JSONField(default=dict)),
                ("production", models.JSONField(default=dict)),
                ("is_counted", models.BooleanField(default=False)),
                ("at", models.DateTimeField()),
                (
                    "agency",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.agency"
                    ),
                ),
                (
                    "body",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="pipelines.body"
                    ),
                ),
                (
                    "client",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.client"
                    ),
                ),
                (
                    "rollout",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="pairs", to="pipelines.rollout"
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("rollout", "phase", "prompt_digest"), name="replayed_once")
                ],
            },
        ),
        migrations.RunPython(fasten, migrations.RunPython.noop),
        migrations.RunPython(fasten_sqlite, migrations.RunPython.noop),
    ]
