"""The id that each file of a source has, and when a document was purged."""

from pathlib import PurePosixPath
from urllib.parse import urlsplit

from django.db import migrations, models


def keep_ids(apps, schema_editor):
    """Name each file by the ids of the documents that it has, as they were made from its path until now."""
    SourceFile = apps.get_model("retrieval", "SourceFile")
    SourceDocument = apps.get_model("retrieval", "SourceDocument")
    named = []
    for file in SourceFile.objects.exclude(documents=None).order_by("pk").distinct().iterator(1000):
        path = file.path
        if path.startswith(("http://", "https://")):
            path = urlsplit(path).path.strip("/") or "index"
        stem = PurePosixPath(path).with_suffix("").as_posix()
        own = SourceDocument.objects.filter(file=file)
        if own.filter(document__entity_id=stem).exists() or own.filter(
            document__entity_id__startswith=f"{stem}/"
        ).exists():
            file.name = stem[:255]
            named.append(file)
    SourceFile.objects.bulk_update(named, ["name"], batch_size=1000)


class Migration(migrations.Migration):

    dependencies = [
        ('events', '0002_unhandled'),
        ('retrieval', '0004_lexemes'),
    ]

    operations = [
        migrations.AddField(
            model_name='document',
            name='purge_ended_at',
            field=models.DateTimeField(editable=False, help_text='When nothing of it was left.', null=True),
        ),
        migrations.AddField(
            model_name='document',
            name='purged_at',
            field=models.DateTimeField(editable=False, help_text='All that it said until then was erased, or is being erased.', null=True),
        ),
        migrations.AddField(
            model_name='document',
            name='purged_version',
            field=models.PositiveIntegerField(default=0, editable=False, help_text='The texts of its versions up to this one were erased.'),
        ),
        migrations.AddField(
            model_name='sourcefile',
            name='is_empty',
            field=models.BooleanField(default=False, help_text='It had no text when it was last read.'),
        ),
        migrations.AddField(
            model_name='sourcefile',
            name='name',
            field=models.CharField(blank=True, help_text='The id of its document, or the beginning of those of its rows.', max_length=255),
        ),
        migrations.AddIndex(
            model_name='document',
            index=models.Index(condition=models.Q(('purged_at__isnull', False)), fields=['index', 'purged_at'], name='document_purged'),
        ),
        migrations.AddIndex(
            model_name='sourcefile',
            index=models.Index(fields=['index', 'name'], name='source_file_name'),
        ),
        migrations.RunPython(keep_ids, migrations.RunPython.noop),
    ]
