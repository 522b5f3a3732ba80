from django.db import migrations, models
import django.db.models.deletion


def days_of_the_plan(apps, schema_editor):
    """What was agreed to before the number was kept: a sold plan keeps its days."""
    consents = apps.get_model("payments", "Consent").objects
    for consent in consents.select_related("plan").iterator():
        consents.filter(pk=consent.pk).update(days=consent.plan.days)


class Migration(migrations.Migration):

    dependencies = [
        ("orders", "0003_goods"),
        ("payments", "0006_ended_by_merging"),
    ]

    operations = [
        migrations.AddField(
            model_name="consent",
            name="days",
            field=models.PositiveSmallIntegerField(
                default=7, verbose_name="同意的周期（天）"
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="consent",
            name="terms",
            field=models.CharField(
                default="1.0", max_length=8, verbose_name="协议版本"
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="consent",
            name="order",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="consents",
                to="orders.order",
                verbose_name="下单时同意",
            ),
        ),
        migrations.AddField(
            model_name="consent",
            name="first_on",
            field=models.DateField(null=True, verbose_name="首个扣款日"),
        ),
        migrations.RunPython(days_of_the_plan, migrations.RunPython.noop),
    ]
