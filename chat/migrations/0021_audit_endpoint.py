from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0020_user_prefix'),
    ]

    operations = [
        migrations.RenameField('auditentry', 'door', 'endpoint'),
        migrations.AlterField(
            model_name='auditentry',
            name='endpoint',
            field=models.CharField(help_text='The name of the URL, the socket, the MCP tool or the command.', max_length=100),
        ),
    ]
