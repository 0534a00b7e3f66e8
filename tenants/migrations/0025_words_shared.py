"""An approval to share answers holds for the words that were seen, not for whatever has their key later."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0024_sign_in_rules'),
    ]

    operations = [
        migrations.AddField(
            model_name='sharedexample',
            name='digest',
            field=models.CharField(blank=True, db_default='', default='', max_length=64),
        ),
        migrations.AddField(
            model_name='sharedexample',
            name='version',
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.RemoveConstraint(
            model_name='sharedexample',
            name='example_shared_once',
        ),
        migrations.AddConstraint(
            model_name='sharedexample',
            constraint=models.UniqueConstraint(condition=models.Q(('digest', ''), _negated=True), fields=('pipeline', 'digest'), name='words_shared_once'),
        ),
    ]
