"""Hours and days of traffic, the time to the first token, and bodies where a client wants them kept."""

import django.db.models.deletion
from django.db import migrations, models

from tenants.postgresql.belts import fasten, fasten_sqlite


class Migration(migrations.Migration):
    dependencies = [
        ("pipelines", "0005_waivers"),
        ("tenants", "0003_eval_sets"),
    ]

    operations = [
        migrations.CreateModel(
            name="Body",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("request", models.TextField()),
                ("answer", models.TextField(blank=True)),
                ("prompt_digest", models.CharField(max_length=64)),
                ("at", models.DateTimeField()),
            ],
            options={
                "abstract": False,
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="TrafficSpan",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("requests", models.PositiveIntegerField(default=0)),
                ("errors", models.PositiveIntegerField(default=0)),
                ("bad", models.PositiveIntegerField(default=0)),
                ("input_tokens", models.PositiveBigIntegerField(default=0)),
                ("output_tokens", models.PositiveBigIntegerField(default=0)),
                ("latency", models.JSONField(default=dict)),
                ("first_token", models.JSONField(default=dict)),
                ("host", models.CharField(max_length=60)),
                ("arm", models.CharField(max_length=10)),
                ("unit", models.CharField(choices=[("hour", "Hour"), ("day", "Day")], max_length=4)),
                ("begins_at", models.DateTimeField()),
            ],
            options={
                "abstract": False,
                "base_manager_name": "objects",
            },
        ),
        migrations.AddField(
            model_name="exchange",
            name="first_token_ms",
            field=models.FloatField(null=True),
        ),
        migrations.AddField(
            model_name="traffic",
            name="first_token",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="traffic",
            name="is_rolled_up",
            field=models.BooleanField(default=False),
        ),
        migrations.AddIndex(
            model_name="traffic",
            index=models.Index(
                condition=models.Q(("is_rolled_up", False)), fields=["client"], name="traffic_not_rolled_up"
            ),
        ),
        migrations.AddField(
            model_name="body",
            name="agency",
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.agency"),
        ),
        migrations.AddField(
            model_name="body",
            name="client",
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.client"),
        ),
        migrations.AddField(
            model_name="body",
            name="exchange",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE, related_name="body", to="pipelines.exchange"
            ),
        ),
        migrations.AddField(
            model_name="body",
            name="pipeline",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="bodies", to="tenants.pipeline"
            ),
        ),
        migrations.AddField(
            model_name="trafficspan",
            name="agency",
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.agency"),
        ),
        migrations.AddField(
            model_name="trafficspan",
            name="client",
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.client"),
        ),
        migrations.AddField(
            model_name="trafficspan",
            name="pipeline",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="traffic_spans", to="tenants.pipeline"
            ),
        ),
        migrations.AddField(
            model_name="trafficspan",
            name="version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="traffic_spans", to="pipelines.modelversion"
            ),
        ),
        migrations.AddIndex(
            model_name="body",
            index=models.Index(fields=["pipeline", "at"], name="body_by_time"),
        ),
        migrations.AddIndex(
            model_name="trafficspan",
            index=models.Index(fields=["pipeline", "unit", "begins_at"], name="traffic_by_span"),
        ),
        migrations.AddConstraint(
            model_name="trafficspan",
            constraint=models.UniqueConstraint(
                fields=("version", "host", "arm", "unit", "begins_at"), name="traffic_span"
            ),
        ),
        migrations.RunPython(fasten, migrations.RunPython.noop),
        migrations.RunPython(fasten_sqlite, migrations.RunPython.noop),
    ]
