"""What people preferred, without knowing whose answer it was."""

import django.db.models.deletion
from django.db import migrations, models

from tenants.postgresql.belts import fasten


class Migration(migrations.Migration):
    dependencies = [
        ("pipelines", "0008_row_decisions"),
        ("tenants", "0004_judges"),
    ]

    operations = [
        migrations.CreateModel(
            name="BlindVote",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("case_key", models.CharField(max_length=100)),
                ("voter", models.CharField(max_length=200)),
                (
                    "choice",
                    models.CharField(
                        choices=[("candidate", "candidate"), ("production", "production"), ("same", "same")],
                        max_length=10,
                    ),
                ),
                ("created_at", models.DateTimeField()),
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
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="votes", to="pipelines.run"
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("run", "case_key", "voter"), name="one_vote_per_case")],
            },
        ),
        migrations.RunPython(fasten, migrations.RunPython.noop),
    ]
