"""Each HNSW is built anew, in half precision: the sweep has the workers do it, and searches are exact until then."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [("retrieval", "0006_ingestion")]

    operations = [
        migrations.RunSQL("UPDATE retrieval_generation SET has_hnsw = false", migrations.RunSQL.noop),
    ]
