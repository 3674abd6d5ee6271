import django.utils.timezone
from django.db import migrations, models

_APPEND_ONLY = """
CREATE FUNCTION fabra_audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'An entry of the audit log is never changed.';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE ON chat_auditentry
    FOR EACH ROW EXECUTE FUNCTION fabra_audit_append_only();
"""
_FREELY = """
DROP TRIGGER audit_append_only ON chat_auditentry;
DROP FUNCTION fabra_audit_append_only();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0011_key_use'),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('by', models.CharField(choices=[('user', 'User'), ('key', 'Key'), ('command', 'Command'), ('local', 'development mode')], max_length=10)),
                ('who', models.CharField(help_text="The user's name, the API key's, or the account that ran a command.", max_length=150)),
                ('key_pk', models.BigIntegerField(null=True, verbose_name='API key')),
                ('address', models.GenericIPAddressField(null=True)),
                ('action', models.CharField(max_length=60)),
                ('target', models.CharField(blank=True, max_length=300)),
                ('door', models.CharField(help_text='The name of the URL, the MCP tool or the command.', max_length=100)),
                ('method', models.CharField(blank=True, max_length=10)),
                ('path', models.CharField(blank=True, max_length=500)),
                ('status', models.PositiveSmallIntegerField(help_text='The HTTP status of the answer.', null=True)),
                ('detail', models.CharField(blank=True, max_length=300)),
            ],
            options={
                'verbose_name': 'audit entry',
                'verbose_name_plural': 'audit log',
            },
        ),
        migrations.AddIndex(
            model_name='auditentry',
            index=models.Index(fields=['-at'], name='audit_newest'),
        ),
        migrations.AddIndex(
            model_name='auditentry',
            index=models.Index(fields=['who', '-at'], name='audit_of_one'),
        ),
        migrations.AddIndex(
            model_name='auditentry',
            index=models.Index(fields=['key_pk', '-at'], name='audit_of_key'),
        ),
        migrations.AddIndex(
            model_name='auditentry',
            index=models.Index(fields=['action'], name='audit_actions'),
        ),
        # An entry is never changed, by whatever program: pruning deletes, and nothing updates.
        migrations.RunSQL(_APPEND_ONLY, _FREELY),
    ]
