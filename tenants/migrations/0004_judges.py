"""Judge models that a client's rows may be shown to."""

import django.db.models.deletion
from django.db import migrations, models

from tenants.postgresql.belts import fasten


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0003_eval_sets"),
        ("pipelines", "0003_sources"),
    ]

    operations = [
        migrations.CreateModel(
            name="JudgeEndpoint",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.SlugField(max_length=60)),
                ("kind", models.CharField(max_length=20)),
                ("url", models.URLField(max_length=300)),
                ("model", models.CharField(max_length=200)),
                ("key_name", models.CharField(blank=True, max_length=60)),
                ("allowed_by", models.CharField(max_length=200)),
                ("allowed_at", models.DateTimeField()),
                ("withdrawn_by", models.CharField(blank=True, max_length=200)),
                ("withdrawn_at", models.DateTimeField(blank=True, null=True)),
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
            ],
            options={
                "ordering": ("name", "-id"),
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("withdrawn_at__isnull", True)),
                        fields=("client", "name"),
                        name="judge_name_per_client",
                    )
                ],
            },
        ),
        migrations.RunPython(fasten, migrations.RunPython.noop),
    ]
