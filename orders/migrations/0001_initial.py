
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('members', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='OrderEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(verbose_name='时间')),
                ('kind', models.CharField(max_length=32, verbose_name='事件')),
                ('detail', models.JSONField(default=dict, verbose_name='细节')),
            ],
            options={
                'verbose_name': '订单事件',
                'verbose_name_plural': '订单事件',
                'ordering': ['at', 'id'],
            },
        ),
        migrations.CreateModel(
            name='Order',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('no', models.CharField(max_length=32, unique=True, verbose_name='订单号')),
                ('client_token', models.CharField(editable=False, max_length=64, unique=True)),
                ('kind', models.CharField(choices=[('tier', '会员'), ('goods', '商品')], default='tier', max_length=8, verbose_name='类别')),
                ('title', models.CharField(max_length=80, verbose_name='名称')),
                ('quantity', models.PositiveIntegerField(default=1, verbose_name='数量')),
                ('unit_fen', models.PositiveIntegerField(verbose_name='单价（分）')),
                ('discount_bp', models.PositiveSmallIntegerField(default=10000, verbose_name='折扣（万分比）')),
                ('amount_fen', models.PositiveIntegerField(verbose_name='应付（分）')),
                ('currency', models.CharField(default='CNY', max_length=3, verbose_name='币种')),
                ('seconds', models.PositiveBigIntegerField(default=0, verbose_name='时长（秒）')),
                ('rank', models.PositiveSmallIntegerField(default=0, verbose_name='等级')),
                ('tier_discount_bp', models.PositiveSmallIntegerField(default=10000, verbose_name='会员折扣（万分比）')),
                ('status', models.CharField(choices=[('pending', '待付款'), ('paid', '已付款'), ('expired', '已过期'), ('cancelled', '已取消')], default='pending', max_length=10, verbose_name='状态')),
                ('fulfil', models.CharField(choices=[('none', '未履约'), ('done', '已履约'), ('short', '缺货'), ('held', '人工复核'), ('void', '已作废')], default='none', max_length=6, verbose_name='履约')),
                ('risk', models.CharField(choices=[('allow', '放行'), ('review', '复核')], default='allow', max_length=8, verbose_name='风控')),
                ('placed_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='下单时间')),
                ('expires_at', models.DateTimeField(verbose_name='保留到')),
                ('paid_at', models.DateTimeField(null=True, verbose_name='付款时间')),
                ('renewal_key', models.CharField(max_length=64, null=True, unique=True)),
                ('address_digest', models.CharField(blank=True, editable=False, max_length=64)),
                ('version', models.PositiveIntegerField(default=0, editable=False)),
                ('member', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='orders', to=settings.AUTH_USER_MODEL, verbose_name='会员')),
                ('plan', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='orders', to='members.plan', verbose_name='套餐')),
            ],
            options={
                'verbose_name': '订单',
                'verbose_name_plural': '订单',
                'ordering': ['-id'],
            },
        ),
    ]
