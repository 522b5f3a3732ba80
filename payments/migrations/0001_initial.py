
import django.db.models.deletion
import django.db.models.functions.comparison
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('members', '0001_initial'),
        ('orders', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Attempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('gateway', models.CharField(max_length=16, verbose_name='网关')),
                ('channel', models.CharField(max_length=16, verbose_name='渠道')),
                ('product', models.CharField(max_length=16, verbose_name='产品')),
                ('out_trade_no', models.CharField(max_length=64, verbose_name='商户订单号')),
                ('amount_fen', models.PositiveIntegerField(verbose_name='金额（分）')),
                ('currency', models.CharField(default='CNY', max_length=3, verbose_name='币种')),
                ('state', models.CharField(choices=[('created', '已登记'), ('open', '待付款'), ('unknown', '结果不明'), ('failed', '失败'), ('closed', '已关闭'), ('paid', '已付款')], default='created', max_length=8, verbose_name='状态')),
                ('txn_id', models.CharField(max_length=64, null=True, verbose_name='平台交易号')),
                ('paid_fen', models.PositiveBigIntegerField(null=True, verbose_name='实收（分）')),
                ('paid_currency', models.CharField(max_length=3, null=True, verbose_name='实收币种')),
                ('paid_at', models.DateTimeField(null=True, verbose_name='付款时间')),
                ('refund_reserved_fen', models.PositiveBigIntegerField(default=0, verbose_name='已占用退款（分）')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='建立时间')),
                ('next_query_at', models.DateTimeField(null=True)),
                ('queried_at', models.DateTimeField(null=True)),
                ('handover', models.JSONField(null=True)),
                ('payer_ip', models.GenericIPAddressField(null=True)),
                ('last_error', models.CharField(blank=True, max_length=200, verbose_name='最近错误')),
                ('order', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='attempts', to='orders.order', verbose_name='订单')),
            ],
            options={
                'verbose_name': '支付尝试',
                'verbose_name_plural': '支付尝试',
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='GatewayEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('gateway', models.CharField(max_length=16, verbose_name='网关')),
                ('digest', models.CharField(max_length=64)),
                ('kind', models.CharField(max_length=16, verbose_name='类别')),
                ('number', models.CharField(blank=True, max_length=64, verbose_name='单号')),
                ('txn_id', models.CharField(blank=True, max_length=64, verbose_name='平台交易号')),
                ('amount_fen', models.BigIntegerField(null=True, verbose_name='金额（分）')),
                ('currency', models.CharField(blank=True, max_length=3, verbose_name='币种')),
                ('content', models.JSONField(default=dict, verbose_name='内容')),
                ('outcome', models.CharField(choices=[('settled', '入账'), ('duplicate', '重复'), ('noted', '已记录'), ('mismatch', '金额或币种不符'), ('surplus', '多付，退回'), ('late', '迟到，退回'), ('overpaid', '同单第二笔交易'), ('orphan', '无此单'), ('alien', '不是本商户'), ('clash', '交易号重复'), ('refund', '退款结果'), ('external', '网关侧退款')], max_length=10, verbose_name='结果')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='时间')),
                ('resolved_at', models.DateTimeField(null=True, verbose_name='处理时间')),
                ('attempt', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='gateway_events', to='payments.attempt')),
            ],
            options={
                'verbose_name': '网关通知',
                'verbose_name_plural': '网关通知',
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='Refund',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('out_refund_no', models.CharField(max_length=64, unique=True, verbose_name='退款号')),
                ('amount_fen', models.PositiveBigIntegerField(verbose_name='金额（分）')),
                ('reason', models.CharField(choices=[('operator', '运营退款'), ('surplus', '重复付款'), ('late', '过期付款'), ('short', '缺货'), ('external', '网关侧退款')], max_length=10, verbose_name='原因')),
                ('state', models.CharField(choices=[('requested', '已登记'), ('processing', '处理中'), ('success', '已退回'), ('failed', '失败')], default='requested', max_length=10, verbose_name='状态')),
                ('txn_id', models.CharField(blank=True, max_length=64, verbose_name='平台交易号')),
                ('gateway_refund_id', models.CharField(max_length=64, null=True, verbose_name='平台退款号')),
                ('revoked_seconds', models.PositiveBigIntegerField(default=0, verbose_name='收回（秒）')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='建立时间')),
                ('next_query_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True, verbose_name='完成时间')),
                ('last_error', models.CharField(blank=True, max_length=200, verbose_name='最近错误')),
                ('attempt', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='refunds', to='payments.attempt', verbose_name='支付尝试')),
                ('entitlement', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='refunds', to='members.entitlement')),
            ],
            options={
                'verbose_name': '退款',
                'verbose_name_plural': '退款',
            },
        ),
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(condition=models.Q(('next_query_at__isnull', False)), fields=['next_query_at'], name='attempt_due_query'),
        ),
        migrations.AddConstraint(
            model_name='attempt',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['created', 'open', 'unknown', 'failed', 'closed', 'paid'])), name='attempt_state_known'),
        ),
        migrations.AddConstraint(
            model_name='attempt',
            constraint=models.UniqueConstraint(fields=('gateway', 'out_trade_no'), name='attempt_number_once'),
        ),
        migrations.AddConstraint(
            model_name='attempt',
            constraint=models.UniqueConstraint(condition=models.Q(('txn_id__isnull', False)), fields=('gateway', 'txn_id'), name='attempt_txn_once'),
        ),
        migrations.AddConstraint(
            model_name='attempt',
            constraint=models.UniqueConstraint(condition=models.Q(('state__in', ['created', 'open', 'unknown'])), fields=('order', 'gateway'), name='attempt_one_live'),
        ),
        migrations.AddConstraint(
            model_name='attempt',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'paid'), _negated=True), models.Q(('paid_fen__isnull', False), ('txn_id__isnull', False)), _connector='OR'), name='attempt_paid_has_money'),
        ),
        migrations.AddConstraint(
            model_name='attempt',
            constraint=models.CheckConstraint(condition=models.Q(('refund_reserved_fen__lte', django.db.models.functions.comparison.Coalesce(models.F('paid_fen'), 0))), name='attempt_refund_within_paid'),
        ),
        migrations.AddIndex(
            model_name='gatewayevent',
            index=models.Index(condition=models.Q(('outcome__in', ['orphan', 'overpaid', 'clash', 'alien']), ('resolved_at__isnull', True)), fields=['outcome'], name='gateway_event_open'),
        ),
        migrations.AddConstraint(
            model_name='gatewayevent',
            constraint=models.UniqueConstraint(fields=('gateway', 'digest'), name='gateway_event_once'),
        ),
        migrations.AddConstraint(
            model_name='gatewayevent',
            constraint=models.CheckConstraint(condition=models.Q(('outcome__in', ['settled', 'duplicate', 'noted', 'mismatch', 'surplus', 'late', 'overpaid', 'orphan', 'alien', 'clash', 'refund', 'external'])), name='gateway_event_known'),
        ),
        migrations.AddIndex(
            model_name='refund',
            index=models.Index(condition=models.Q(('next_query_at__isnull', False)), fields=['next_query_at'], name='refund_due_query'),
        ),
        migrations.AddConstraint(
            model_name='refund',
            constraint=models.CheckConstraint(condition=models.Q(('amount_fen__gt', 0), ('reason__in', ['operator', 'surplus', 'late', 'short', 'external']), ('state__in', ['requested', 'processing', 'success', 'failed'])), name='refund_known'),
        ),
        migrations.AddConstraint(
            model_name='refund',
            constraint=models.UniqueConstraint(condition=models.Q(('reason__in', ['surplus', 'late', 'short'])), fields=('attempt',), name='refund_automatic_once'),
        ),
        migrations.AddConstraint(
            model_name='refund',
            constraint=models.UniqueConstraint(condition=models.Q(('gateway_refund_id__isnull', False)), fields=('gateway_refund_id',), name='refund_gateway_id_once'),
        ),
    ]
