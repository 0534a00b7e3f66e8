"""Sources with trust and shares; uploads that are read from files and can be withdrawn; what a dataset holds."""

import django.db.models.deletion
from django.db import migrations, models

import pipelines.models.example
import pipelines.models.source
from tenants.postgresql.belts import fasten, fasten_sqlite


class Migration(migrations.Migration):
    dependencies = [
        ("pipelines", "0002_belts"),
        ("tenants", "0002_pause"),
    ]

    operations = [
        migrations.CreateModel(
            name="Source",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100)),
                (
                    "trust",
                    models.CharField(
                        choices=[("high", "high"), ("low", "low")],
                        default=pipelines.models.source.Trust["HIGH"],
                        max_length=4,
                    ),
                ),
                ("max_share", models.FloatField(blank=True, null=True)),
                ("mapping", models.JSONField(blank=True, default=dict)),
                ("withdrawn_at", models.DateTimeField(blank=True, null=True)),
                ("withdrawn_by", models.CharField(blank=True, max_length=200)),
                ("withdrawn_reason", models.CharField(blank=True, max_length=500)),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "ordering": ("name",),
                "abstract": False,
                "base_manager_name": "objects",
            },
        ),
        migrations.AddField(
            model_name="batch",
            name="due_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="batch",
            name="error",
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name="batch",
            name="file_bytes",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="batch",
            name="file_digest",
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddField(
            model_name="batch",
            name="progress",
            field=models.FloatField(default=0.0),
        ),
        migrations.AddField(
            model_name="batch",
            name="reading",
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name="batch",
            name="withdrawn_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="batch",
            name="withdrawn_by",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name="batch",
            name="withdrawn_reason",
            field=models.CharField(blank=True, max_length=500),
        ),
        migrations.AddField(
            model_name="datasetversion",
            name="batches",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="datasetversion",
            name="left_out",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="datasetversion",
            name="manifest",
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddField(
            model_name="example",
            name="before",
            field=models.CharField(blank=True, max_length=12),
        ),
        migrations.AlterField(
            model_name="example",
            name="state",
            field=models.CharField(
                choices=[
                    ("ready", "ready"),
                    ("quarantined", "quarantined"),
                    ("duplicate", "duplicate"),
                    ("left_out", "left_out"),
                    ("parked", "parked"),
                    ("review", "review"),
                    ("evaluation", "evaluation"),
                    ("withdrawn", "withdrawn"),
                    ("discarded", "discarded"),
                ],
                default=pipelines.models.example.ExampleState["READY"],
                max_length=12,
            ),
        ),
        migrations.AddConstraint(
            model_name="example",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "evaluation"), _negated=True), ("dataset__isnull", True), _connector="OR"
                ),
                name="evaluation_never_trains",
            ),
        ),
        migrations.AddField(
            model_name="source",
            name="agency",
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.agency"),
        ),
        migrations.AddField(
            model_name="source",
            name="client",
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.client"),
        ),
        migrations.AddField(
            model_name="source",
            name="pipeline",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="sources", to="tenants.pipeline"
            ),
        ),
        migrations.AddField(
            model_name="batch",
            name="origin",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.RESTRICT, related_name="batches", to="pipelines.source"
            ),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(condition=models.Q(("due_at__isnull", False)), fields=["due_at"], name="batch_due"),
        ),
        migrations.AddConstraint(
            model_name="source",
            constraint=models.UniqueConstraint(fields=("pipeline", "name"), name="source_name_per_pipeline"),
        ),
        migrations.AddConstraint(
            model_name="source",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("max_share__isnull", True), models.Q(("max_share__gt", 0), ("max_share__lte", 1)), _connector="OR"
                ),
                name="source_share_is_a_share",
            ),
        ),
        migrations.RunPython(fasten, migrations.RunPython.noop),
        migrations.RunPython(fasten_sqlite, migrations.RunPython.noop),
    ]
