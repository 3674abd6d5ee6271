from django.db import migrations, models


class Migration(migrations.Migration):
    """A file may be read in several slices of a run, and a wanted rebuild of a generation's indexes outlives a crash."""

    dependencies = [("retrieval", "0015_audience_and_keys")]

    operations = [
        migrations.AddField(
            model_name="ingestionfile",
            name="progress",
            field=models.JSONField(
                blank=True,
                default=dict,
                db_default={},
                editable=False,
                help_text="How far a file is that is read in several slices.",
            ),
        ),
        migrations.AddField(
            model_name="generation",
            name="is_rebuild_wanted",
            field=models.BooleanField(
                default=False,
                db_default=False,
                editable=False,
                help_text="Its indexes are to be replaced, and are not yet.",
            ),
        ),
    ]
