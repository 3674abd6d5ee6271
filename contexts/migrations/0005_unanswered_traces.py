from django.db import migrations, models


class Migration(migrations.Migration):
    """Find traces without an answer by an index of their own: the pages that a BRIN finds become all in time."""

    dependencies = [("contexts", "0004_outcome_in_place")]

    operations = [
        migrations.RemoveIndex(model_name="trace", name="trace_by_state"),
        migrations.AddIndex(
            model_name="trace",
            index=models.Index(
                condition=models.Q(("state", "answered"), _negated=True),
                fields=["state", "-created_at"],
                name="trace_unanswered",
            ),
        ),
        # No outcome is written in place any more, which the room was for.
        migrations.RunSQL(
            "ALTER TABLE contexts_trace RESET (fillfactor)", "ALTER TABLE contexts_trace SET (fillfactor = 75)"
        ),
    ]
