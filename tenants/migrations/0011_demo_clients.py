"""Clients that this program made up, which can be removed whole."""

from django.db import migrations, models

from tenants.postgresql.belts import fasten


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0010_keep_weights"),
    ]

    operations = [
        migrations.AddField(
            model_name="client",
            name="is_demo",
            field=models.BooleanField(default=False),
        ),
        migrations.RunPython(fasten, migrations.RunPython.noop),
    ]
