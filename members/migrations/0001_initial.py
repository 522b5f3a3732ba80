
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.CreateModel(
            name='Benefit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.SlugField(max_length=32, unique=True, verbose_name='代码')),
                ('label', models.CharField(max_length=40, verbose_name='名称')),
                ('label_en', models.CharField(blank=True, max_length=80, verbose_name='英文名称')),
                ('position', models.PositiveSmallIntegerField(default=0, verbose_name='排序')),
            ],
            options={
                'verbose_name': '权益',
                'verbose_name_plural': '权益',
                'ordering': ['position', 'id'],
            },
        ),
        migrations.CreateModel(
            name='HitLog',
            fields=[
                ('key', models.CharField(max_length=80, primary_key=True, serialize=False)),
                ('hits', models.JSONField(default=dict)),
                ('until', models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name='OneTimeCode',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('phone', models.CharField(max_length=16)),
                ('purpose', models.CharField(choices=[('checkout', '下单'), ('login', '登录')], max_length=16)),
                ('session_digest', models.CharField(max_length=64)),
                ('code_digest', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField()),
                ('failures', models.PositiveSmallIntegerField(default=0)),
                ('spent_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Pause',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('starts_at', models.DateTimeField(verbose_name='开始')),
                ('ends_at', models.DateTimeField(null=True, verbose_name='结束')),
                ('reason', models.CharField(blank=True, max_length=200, verbose_name='原因')),
            ],
            options={
                'verbose_name': '暂停',
                'verbose_name_plural': '暂停',
            },
        ),
        migrations.CreateModel(
            name='Plan',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('slug', models.SlugField(max_length=40, unique=True, verbose_name='代码')),
                ('days', models.PositiveSmallIntegerField(validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(3660)], verbose_name='天数')),
                ('price_fen', models.PositiveIntegerField(validators=[django.core.validators.MinValueValidator(1)], verbose_name='价格（分）')),
                ('promo_price_fen', models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(1)], verbose_name='优惠价（分）')),
                ('promo_starts_at', models.DateTimeField(blank=True, null=True, verbose_name='优惠开始')),
                ('promo_ends_at', models.DateTimeField(blank=True, null=True, verbose_name='优惠结束')),
                ('enabled', models.BooleanField(default=True, verbose_name='在售')),
            ],
            options={
                'verbose_name': '套餐',
                'verbose_name_plural': '套餐',
                'ordering': ['tier__rank', 'days'],
            },
        ),
        migrations.CreateModel(
            name='PriceChange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('field', models.CharField(max_length=32, verbose_name='项目')),
                ('old', models.CharField(blank=True, max_length=40, verbose_name='原值')),
                ('new', models.CharField(blank=True, max_length=40, verbose_name='新值')),
                ('changed_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='时间')),
            ],
            options={
                'verbose_name': '价格变更',
                'verbose_name_plural': '价格历史',
                'ordering': ['-changed_at', '-id'],
            },
        ),
        migrations.CreateModel(
            name='Segment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('starts_at', models.DateTimeField(verbose_name='开始')),
                ('ends_at', models.DateTimeField(verbose_name='结束')),
            ],
            options={
                'verbose_name': '会员时段',
                'verbose_name_plural': '会员时段',
                'ordering': ['starts_at'],
            },
        ),
        migrations.CreateModel(
            name='ShopRules',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('shop_name', models.CharField(default='卡盟', max_length=40, verbose_name='店名')),
                ('company', models.CharField(blank=True, max_length=80, verbose_name='公司名称')),
                ('icp_number', models.CharField(blank=True, max_length=60, verbose_name='ICP 备案号')),
                ('license_number', models.CharField(blank=True, max_length=60, verbose_name='经营许可证')),
                ('support_contact', models.CharField(blank=True, max_length=80, verbose_name='会员客服')),
                ('support_hours', models.CharField(blank=True, max_length=60, verbose_name='客服时间')),
                ('hold_seconds', models.PositiveIntegerField(default=1800, verbose_name='订单保留')),
                ('last_attempt_seconds', models.PositiveIntegerField(default=90, verbose_name='到期前不再新开支付')),
                ('grace_seconds', models.PositiveIntegerField(default=600, verbose_name='网关联系不上时的宽限')),
                ('late_seconds', models.PositiveIntegerField(default=86400, verbose_name='迟到的钱仍可开通')),
                ('open_orders_max', models.PositiveSmallIntegerField(default=5, verbose_name='每人未付订单上限')),
                ('open_orders_per_address', models.PositiveSmallIntegerField(default=20, verbose_name='每个地址未付订单上限')),
                ('code_seconds', models.PositiveIntegerField(default=300, verbose_name='验证码有效期')),
                ('code_tries', models.PositiveSmallIntegerField(default=5, verbose_name='验证码可试次数')),
                ('code_resend_seconds', models.PositiveIntegerField(default=60, verbose_name='重发间隔')),
                ('codes_per_phone_hour', models.PositiveIntegerField(default=5, verbose_name='每号每小时')),
                ('codes_per_phone_day', models.PositiveIntegerField(default=10, verbose_name='每号每天')),
                ('failures_per_phone_day', models.PositiveIntegerField(default=20, verbose_name='每号每天错误')),
                ('failures_in_a_row', models.PositiveIntegerField(default=100, verbose_name='连续错误后停用')),
                ('codes_per_address_hour', models.PositiveIntegerField(default=60, verbose_name='每地址每小时')),
                ('failures_per_address', models.PositiveIntegerField(default=30, verbose_name='每地址 10 分钟错误')),
                ('codes_per_network_hour', models.PositiveIntegerField(default=300, verbose_name='每网段每小时')),
                ('codes_per_hour', models.PositiveIntegerField(default=2000, verbose_name='全店每小时')),
                ('codes_per_day', models.PositiveIntegerField(default=10000, verbose_name='全店每天')),
                ('conversion_codes', models.PositiveIntegerField(default=200, verbose_name='每小时发出多少条后看使用率')),
                ('conversion_percent', models.PositiveSmallIntegerField(default=20, verbose_name='验证码使用率低于（%）时收紧')),
                ('failures_alarm', models.PositiveIntegerField(default=200, verbose_name='全店 10 分钟错误告警')),
                ('quiet_from_hour', models.PositiveSmallIntegerField(default=22, verbose_name='免打扰开始')),
                ('quiet_until_hour', models.PositiveSmallIntegerField(default=8, verbose_name='免打扰结束')),
                ('reminder_seconds', models.PositiveIntegerField(default=259200, verbose_name='提前提醒')),
                ('short_reminder_seconds', models.PositiveIntegerField(default=21600, verbose_name='短期会员提前提醒')),
            ],
            options={
                'verbose_name': '店铺规则',
                'verbose_name_plural': '店铺规则',
            },
        ),
        migrations.CreateModel(
            name='Tier',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.SlugField(max_length=32, unique=True, verbose_name='代码')),
                ('name', models.CharField(max_length=32, verbose_name='名称')),
                ('name_en', models.CharField(blank=True, max_length=64, verbose_name='英文名称')),
                ('kind', models.CharField(choices=[('temporary', '临时会员'), ('long-term', '长期会员')], max_length=16, verbose_name='类别')),
                ('rank', models.PositiveSmallIntegerField(help_text='数字大的等级高，先使用；有销售后不能再改。', unique=True, verbose_name='等级')),
                ('discount_bp', models.PositiveSmallIntegerField(default=10000, help_text='9500 就是 95 折。', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(10000)], verbose_name='折扣（万分比）')),
                ('enabled', models.BooleanField(default=True, verbose_name='在售')),
            ],
            options={
                'verbose_name': '会员等级',
                'verbose_name_plural': '会员等级',
                'ordering': ['rank'],
            },
        ),
        migrations.CreateModel(
            name='TierBenefit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('detail', models.CharField(blank=True, max_length=60, verbose_name='说明')),
                ('detail_en', models.CharField(blank=True, max_length=120, verbose_name='英文说明')),
            ],
            options={
                'verbose_name': '等级权益',
                'verbose_name_plural': '等级权益',
            },
        ),
        migrations.CreateModel(
            name='Member',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('phone', models.CharField(blank=True, max_length=16, null=True, unique=True, verbose_name='手机号')),
                ('username', models.CharField(blank=True, max_length=40, null=True, unique=True, verbose_name='员工账号')),
                ('is_staff', models.BooleanField(default=False, verbose_name='员工')),
                ('is_active', models.BooleanField(default=True, verbose_name='可登录')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name='建立时间')),
                ('paid_until', models.DateTimeField(blank=True, editable=False, null=True, verbose_name='会员到期')),
                ('timeline_at', models.DateTimeField(editable=False, null=True)),
                ('risk_flag_until', models.DateTimeField(blank=True, null=True, verbose_name='风险标记到')),
                ('guide_done', models.JSONField(default=list, editable=False)),
                ('guide_dismissed_at', models.DateTimeField(editable=False, null=True)),
                ('version', models.PositiveIntegerField(default=0, editable=False)),
                ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
            ],
            options={
                'verbose_name': '会员',
                'verbose_name_plural': '会员',
            },
        ),
        migrations.CreateModel(
            name='Entitlement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('rank', models.PositiveSmallIntegerField(verbose_name='等级')),
                ('discount_bp', models.PositiveSmallIntegerField(verbose_name='折扣（万分比）')),
                ('seconds', models.PositiveBigIntegerField(verbose_name='时长（秒）')),
                ('revoked_seconds', models.PositiveBigIntegerField(default=0, verbose_name='收回（秒）')),
                ('source', models.CharField(choices=[('order', '订单'), ('grant', '赠送')], max_length=8, verbose_name='来源')),
                ('reason', models.CharField(blank=True, max_length=200, verbose_name='原因')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='建立时间')),
                ('actor', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('member', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='entitlements', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': '会员权益期',
                'verbose_name_plural': '会员权益期',
            },
        ),
    ]
