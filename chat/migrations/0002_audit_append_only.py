"""An entry of the audit log is never changed, by whatever program: pruning deletes, and nothing updates."""

from django.db import migrations

_APPEND_ONLY = """
CREATE OR REPLACE FUNCTION fabra_audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'An entry of the audit log is never changed.';
END $$;
CREATE OR REPLACE TRIGGER audit_append_only BEFORE UPDATE ON chat_auditentry
    FOR EACH ROW EXECUTE FUNCTION fabra_audit_append_only();
"""
_FREELY = """
DROP TRIGGER audit_append_only ON chat_auditentry;
DROP FUNCTION fabra_audit_append_only();
"""


class Migration(migrations.Migration):

    dependencies = [("chat", "0001_initial")]

    operations = [migrations.RunSQL(_APPEND_ONLY, _FREELY)]
