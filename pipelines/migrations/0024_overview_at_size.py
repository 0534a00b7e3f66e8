"""Whose latest run needs a person, and which rows wait, without a walk through all; policies that read the scope once."""

from django.db import migrations, models

from tenants.postgresql.belts import fasten


class Migration(migrations.Migration):
    dependencies = [
        ("pipelines", "0023_line_bytes"),
        ("tenants", "0024_sign_in_rules"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="example",
            index=models.Index(fields=["pipeline"], condition=models.Q(state="quarantined"), name="example_waits"),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                fields=["agency"], condition=models.Q(status__in=("failed", "held", "rejected")), name="run_needs"
            ),
        ),
        migrations.RunPython(fasten, migrations.RunPython.noop),
    ]
