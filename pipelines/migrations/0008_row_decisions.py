"""What people did with rows, to be taken back; words, language and signature of a row; leaner bands."""

import django.db.models.deletion
from django.db import migrations, models

from tenants.postgresql.belts import fasten, fasten_sqlite

OWNERS = {"agency": "tenants.agency", "client": "tenants.client"}


def owned():
    return [
        (name, models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to=to))
        for name, to in OWNERS.items()
    ]


class Migration(migrations.Migration):
    dependencies = [
        ("pipelines", "0007_replay_pairs"),
        ("tenants", "0004_judges"),
    ]

    operations = [
        migrations.AddField("example", "words", models.PositiveIntegerField(default=0)),
        migrations.AddField("example", "language", models.CharField(blank=True, max_length=8)),
        migrations.AddField("example", "signature", models.PositiveSmallIntegerField(default=0)),
        migrations.RemoveField("exampleband", "signature_version"),
        migrations.AlterField(
            "exampleband",
            "agency",
            models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.agency"
            ),
        ),
        migrations.AlterField(
            "exampleband",
            "client",
            models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.client"
            ),
        ),
        migrations.AlterField(
            "exampleband",
            "pipeline",
            models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.pipeline"
            ),
        ),
        migrations.CreateModel(
            name="RowDecision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("verb", models.CharField(max_length=12)),
                ("rows", models.PositiveIntegerField(default=0)),
                ("actor", models.CharField(max_length=200)),
                ("reason", models.CharField(max_length=500)),
                ("at", models.DateTimeField()),
                ("undone_at", models.DateTimeField(blank=True, null=True)),
                ("undone_by", models.CharField(blank=True, max_length=200)),
                *owned(),
                (
                    "pipeline",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="row_decisions", to="tenants.pipeline"
                    ),
                ),
            ],
            options={"ordering": ("-id",), "abstract": False, "base_manager_name": "objects"},
        ),
        migrations.CreateModel(
            name="RowChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("before", models.JSONField()),
                ("after", models.JSONField()),
                *owned(),
                (
                    "decision",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="changes", to="pipelines.rowdecision"
                    ),
                ),
                (
                    "example",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="changes", to="pipelines.example"
                    ),
                ),
            ],
            options={"ordering": ("-id",), "abstract": False, "base_manager_name": "objects"},
        ),
        migrations.AddConstraint(
            "rowchange", models.UniqueConstraint(fields=("decision", "example"), name="change_once_per_decision")
        ),
        migrations.RunPython(fasten, migrations.RunPython.noop),
        migrations.RunPython(fasten_sqlite, migrations.RunPython.noop),
    ]
