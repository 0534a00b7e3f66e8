"""Waivers of gates; what each verdict keeps of its gate."""

import django.db.models.deletion
from django.db import migrations, models

from tenants.postgresql.belts import fasten, fasten_sqlite


class Migration(migrations.Migration):
    dependencies = [
        ("pipelines", "0004_import_attempts"),
        ("tenants", "0003_eval_sets"),
    ]

    operations = [
        migrations.AddField(
            model_name="gateresult",
            name="spec",
            field=models.JSONField(default=dict),
        ),
        migrations.CreateModel(
            name="Waiver",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("gate", models.CharField(max_length=60)),
                ("approver", models.CharField(max_length=200)),
                ("reason", models.CharField(max_length=500)),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("withdrawn_at", models.DateTimeField(blank=True, null=True)),
                ("withdrawn_by", models.CharField(blank=True, max_length=200)),
                ("withdrawn_reason", models.CharField(blank=True, max_length=500)),
                (
                    "agency",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.agency"
                    ),
                ),
                (
                    "client",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.client"
                    ),
                ),
                (
                    "pipeline",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="waivers", to="tenants.pipeline"
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "abstract": False,
                "base_manager_name": "objects",
            },
        ),
        migrations.AddField(
            model_name="gateresult",
            name="waiver",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="verdicts", to="pipelines.waiver"
            ),
        ),
        migrations.AddConstraint(
            model_name="waiver",
            constraint=models.CheckConstraint(
                condition=models.Q(("expires_at__gt", models.F("created_at"))), name="waiver_ends_after_it_begins"
            ),
        ),
        migrations.AddConstraint(
            model_name="waiver",
            constraint=models.CheckConstraint(
                condition=models.Q(models.Q(("reason", ""), _negated=True), models.Q(("approver", ""), _negated=True)),
                name="waiver_says_why",
            ),
        ),
        migrations.RunPython(fasten, migrations.RunPython.noop),
        migrations.RunPython(fasten_sqlite, migrations.RunPython.noop),
    ]
