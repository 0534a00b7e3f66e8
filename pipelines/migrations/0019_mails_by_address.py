"""Mails go to one address each; the agency hears once that mail is down."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('pipelines', '0018_deliveries'),
        ('tenants', '0020_mail_choices'),
    ]

    operations = [
        migrations.AddField(
            model_name='notice',
            name='delivered',
            field=models.JSONField(default=list),
        ),
        migrations.AddIndex(
            model_name='notice',
            index=models.Index(condition=models.Q(('kind__in', ('mail_down', 'mail_up'))), fields=['agency', '-id'], name='notice_mail'),
        ),
    ]
