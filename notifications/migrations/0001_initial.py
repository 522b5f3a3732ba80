
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Outbox',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=200, unique=True, verbose_name='幂等键')),
                ('kind', models.CharField(max_length=40, verbose_name='种类')),
                ('payload', models.JSONField(default=dict, help_text='只放编号和普通词，不放手机号和验证码。', verbose_name='内容')),
                ('due_at', models.DateTimeField(verbose_name='应办时间')),
                ('state', models.CharField(choices=[('new', '待办'), ('claimed', '办理中'), ('done', '已办'), ('dead', '已放弃')], default='new', max_length=8, verbose_name='状态')),
                ('tries', models.PositiveSmallIntegerField(default=0, verbose_name='次数')),
                ('claimed_at', models.DateTimeField(blank=True, null=True, verbose_name='领取时间')),
                ('last_error', models.CharField(blank=True, max_length=200, verbose_name='上次错误')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='创建时间')),
            ],
            options={
                'verbose_name': '待办',
                'verbose_name_plural': '待办',
                'indexes': [models.Index(models.F('due_at'), models.F('id'), condition=models.Q(('state', 'new')), name='outbox_due'), models.Index(models.F('claimed_at'), condition=models.Q(('state', 'claimed')), name='outbox_claimed'), models.Index(models.F('kind'), condition=models.Q(('state', 'dead')), name='outbox_dead')],
                'constraints': [models.CheckConstraint(condition=models.Q(('state__in', ['new', 'claimed', 'done', 'dead'])), name='outbox_state_known'), models.CheckConstraint(condition=models.Q(models.Q(('claimed_at__isnull', False), ('state', 'claimed')), models.Q(models.Q(('state', 'claimed'), _negated=True), ('claimed_at__isnull', True)), _connector='OR'), name='outbox_claimed_has_time')],
            },
        ),
        migrations.CreateModel(
            name='Notification',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=180, unique=True, verbose_name='幂等键')),
                ('kind', models.CharField(max_length=40, verbose_name='种类')),
                ('channel', models.CharField(choices=[('site', '站内'), ('sms', '短信'), ('push', '浏览器推送')], max_length=4, verbose_name='渠道')),
                ('params', models.JSONField(default=dict, verbose_name='参数')),
                ('state', models.CharField(choices=[('queued', '排队'), ('sending', '发送中'), ('sent', '已发'), ('unknown', '结果不明'), ('failed', '失败'), ('skipped', '不必再发')], default='queued', max_length=8, verbose_name='状态')),
                ('due_at', models.DateTimeField(verbose_name='应发时间')),
                ('expires_at', models.DateTimeField(blank=True, null=True, verbose_name='过时不发')),
                ('tries', models.PositiveSmallIntegerField(default=0, verbose_name='尝试次数')),
                ('sends', models.PositiveSmallIntegerField(default=0, help_text='服务商已收下或可能收下的次数，最多两次。', verbose_name='可能已发次数')),
                ('provider', models.CharField(blank=True, max_length=16, verbose_name='服务商')),
                ('provider_id', models.CharField(blank=True, max_length=80, verbose_name='服务商编号')),
                ('code', models.CharField(blank=True, max_length=80, verbose_name='服务商结果')),
                ('report', models.CharField(blank=True, max_length=80, verbose_name='回执')),
                ('created_at', models.DateTimeField(verbose_name='创建时间')),
                ('sent_at', models.DateTimeField(blank=True, null=True, verbose_name='发出时间')),
                ('read_at', models.DateTimeField(blank=True, null=True, verbose_name='已读时间')),
                ('dismissed_at', models.DateTimeField(blank=True, null=True, verbose_name='关闭时间')),
                ('member', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='notifications', to=settings.AUTH_USER_MODEL, verbose_name='会员')),
            ],
            options={
                'verbose_name': '消息',
                'verbose_name_plural': '消息',
                'indexes': [models.Index(models.F('member'), models.F('due_at'), condition=models.Q(('channel', 'site'), ('read_at__isnull', True), ('state', 'sent')), name='notification_unread'), models.Index(models.F('provider_id'), condition=models.Q(('provider_id', ''), _negated=True), name='notification_provider_id')],
                'constraints': [models.CheckConstraint(condition=models.Q(('channel__in', ['site', 'sms', 'push'])), name='notification_channel_known'), models.CheckConstraint(condition=models.Q(('state__in', ['queued', 'sending', 'sent', 'unknown', 'failed', 'skipped'])), name='notification_state_known'), models.CheckConstraint(condition=models.Q(('sends__lte', 2), ('sends__lte', models.F('tries'))), name='notification_sends_at_most_two')],
            },
        ),
    ]
