
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('members', '0002_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='shoprules',
            name='confirm_above_fen',
            field=models.PositiveIntegerField(default=50000, verbose_name='多少以上先查单再入账（分）'),
        ),
    ]
