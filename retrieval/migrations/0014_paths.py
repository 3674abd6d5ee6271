from typing import Any

from django.db import migrations


def _recompute(apps: Any, schema_editor: Any) -> None:
    # Today's rule, as in 0004: the rule changed in Python, and what is right already is not written.
    from retrieval.indexing.recompute import recompute_lexemes

    recompute_lexemes()


class Migration(migrations.Migration):
    """Compute the lexemes anew: folders such as `__tests__`, `/login` and `TLS1.3` are found by their parts."""

    # A commit for each batch of chunks: searches and changes of documents go on meanwhile.
    atomic = False

    dependencies = [("retrieval", "0013_document_deleted")]

    operations = [migrations.RunPython(_recompute, migrations.RunPython.noop)]
