from typing import Any

from django.db import migrations


def forget_task(apps: Any, schema_editor: Any) -> None:
    """Remove the schedule of a task that is gone: sessions, sign-ins and counts are pruned with all else."""
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(task="chat.tasks.clear_old").delete()


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0023_phrases'),
        ('django_celery_beat', '0001_initial'),
    ]

    operations = [migrations.RunPython(forget_task, migrations.RunPython.noop)]
