from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('events', '0005_event_hours'),
    ]

    operations = [
        migrations.AddField(
            model_name='webhookendpoint',
            name='deleted_at',
            field=models.DateTimeField(blank=True, editable=False, help_text='Since when its deliveries are removed, and then itself.', null=True),
        ),
    ]
