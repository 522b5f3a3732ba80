
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('orders', '0002_initial'),
        ('payments', '0002_epay_channels'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='BillDay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('gateway', models.CharField(max_length=16, verbose_name='网关')),
                ('day', models.DateField(verbose_name='账单日')),
                ('due_at', models.DateTimeField(null=True, verbose_name='下次取账单')),
                ('tries', models.PositiveIntegerField(default=0, verbose_name='取过几次')),
                ('asked', models.PositiveIntegerField(default=0)),
                ('lines', models.PositiveIntegerField(null=True, verbose_name='账单行数')),
                ('done_at', models.DateTimeField(null=True, verbose_name='对账时间')),
                ('last_error', models.CharField(blank=True, max_length=200, verbose_name='最近错误')),
            ],
            options={
                'verbose_name': '账单',
                'verbose_name_plural': '账单',
            },
        ),
        migrations.CreateModel(
            name='BillDifference',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('gateway', models.CharField(max_length=16, verbose_name='网关')),
                ('day', models.DateField(verbose_name='账单日')),
                ('kind', models.CharField(choices=[('unknown', '账单有，本店无此单'), ('unpaid', '账单已付，本店未付'), ('missing', '本店已付，账单没有'), ('amount', '金额不一致'), ('transaction', '交易号不一致'), ('refund-unknown', '账单有退款，本店没有'), ('refund-open', '账单已退款，本店未退'), ('refund-missing', '本店已退款，账单没有'), ('refund-amount', '退款金额不一致'), ('unconfirmed', '通知已付，查单不承认')], max_length=16, verbose_name='差异')),
                ('number', models.CharField(max_length=64, verbose_name='单号')),
                ('txn_id', models.CharField(blank=True, max_length=64, verbose_name='平台交易号')),
                ('ours_fen', models.PositiveBigIntegerField(null=True, verbose_name='本店（分）')),
                ('theirs_fen', models.PositiveBigIntegerField(null=True, verbose_name='网关（分）')),
                ('state', models.CharField(choices=[('open', '待处理'), ('resolved', '已处理'), ('healed', '已自行消除')], default='open', max_length=8, verbose_name='状态')),
                ('version', models.PositiveIntegerField(default=0)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='发现时间')),
                ('closed_at', models.DateTimeField(null=True, verbose_name='处理时间')),
                ('reason', models.CharField(blank=True, max_length=200, verbose_name='说明')),
            ],
            options={
                'verbose_name': '对账差异',
                'verbose_name_plural': '对账差异',
            },
        ),
        migrations.AddField(
            model_name='attempt',
            name='billed_on',
            field=models.DateField(null=True),
        ),
        migrations.AddField(
            model_name='attempt',
            name='confirm_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='refund',
            name='billed_on',
            field=models.DateField(null=True),
        ),
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(condition=models.Q(('confirm_at__isnull', False)), fields=['confirm_at'], name='attempt_due_confirm'),
        ),
        migrations.AddIndex(
            model_name='billday',
            index=models.Index(condition=models.Q(('due_at__isnull', False)), fields=['due_at'], name='bill_day_due'),
        ),
        migrations.AddConstraint(
            model_name='billday',
            constraint=models.UniqueConstraint(fields=('gateway', 'day'), name='bill_day_once'),
        ),
        migrations.AddConstraint(
            model_name='billday',
            constraint=models.CheckConstraint(condition=models.Q(('due_at__isnull', False), ('done_at__isnull', False), _connector='OR'), name='bill_day_due_or_done'),
        ),
        migrations.AddField(
            model_name='billdifference',
            name='actor',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='谁处理'),
        ),
        migrations.AddIndex(
            model_name='billdifference',
            index=models.Index(condition=models.Q(('state', 'open')), fields=['gateway', 'day'], name='bill_difference_open'),
        ),
        migrations.AddConstraint(
            model_name='billdifference',
            constraint=models.UniqueConstraint(fields=('gateway', 'kind', 'number', 'txn_id'), name='bill_difference_once'),
        ),
        migrations.AddConstraint(
            model_name='billdifference',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['unknown', 'unpaid', 'missing', 'amount', 'transaction', 'refund-unknown', 'refund-open', 'refund-missing', 'refund-amount', 'unconfirmed']), ('state__in', ['open', 'resolved', 'healed'])), name='bill_difference_known'),
        ),
        migrations.AddConstraint(
            model_name='billdifference',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('closed_at__isnull', True), ('state', 'open')), models.Q(models.Q(('state', 'open'), _negated=True), models.Q(('reason', ''), _negated=True), ('closed_at__isnull', False)), _connector='OR'), name='bill_difference_closed_has_reason'),
        ),
        migrations.AddConstraint(
            model_name='billdifference',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'resolved'), _negated=True), ('actor__isnull', False), _connector='OR'), name='bill_difference_resolved_by_someone'),
        ),
    ]
