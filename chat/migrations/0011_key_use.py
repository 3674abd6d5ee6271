import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0010_key_rotation'),
    ]

    operations = [
        migrations.CreateModel(
            name='KeyUse',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('accepted', models.PositiveBigIntegerField(default=0)),
                ('refused', models.PositiveBigIntegerField(default=0)),
            ],
        ),
        migrations.AddField(
            model_name='keyuse',
            name='key',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='use', to='chat.apikey'),
        ),
        migrations.AddConstraint(
            model_name='keyuse',
            constraint=models.UniqueConstraint(fields=('key', 'day'), name='key_use_of_day'),
        ),
    ]
