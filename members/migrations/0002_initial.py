
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('members', '0001_initial'),
        ('orders', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='entitlement',
            name='order',
            field=models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='entitlement', to='orders.order'),
        ),
        migrations.AddIndex(
            model_name='onetimecode',
            index=models.Index(fields=['phone', 'purpose', '-id'], name='code_newest'),
        ),
        migrations.AddIndex(
            model_name='onetimecode',
            index=models.Index(fields=['created_at'], name='code_age'),
        ),
        migrations.AddConstraint(
            model_name='onetimecode',
            constraint=models.CheckConstraint(condition=models.Q(('purpose__in', ['checkout', 'login'])), name='code_purpose_known'),
        ),
        migrations.AddField(
            model_name='pause',
            name='actor',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='pause',
            name='member',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='pauses', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='pricechange',
            name='actor',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='pricechange',
            name='plan',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='price_changes', to='members.plan'),
        ),
        migrations.AddField(
            model_name='segment',
            name='entitlement',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='segments', to='members.entitlement'),
        ),
        migrations.AddField(
            model_name='segment',
            name='member',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='segments', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='tier',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['temporary', 'long-term'])), name='tier_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='tier',
            constraint=models.CheckConstraint(condition=models.Q(('discount_bp__gte', 1), ('discount_bp__lte', 10000)), name='tier_discount_range'),
        ),
        migrations.AddField(
            model_name='pricechange',
            name='tier',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='price_changes', to='members.tier'),
        ),
        migrations.AddField(
            model_name='plan',
            name='tier',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='plans', to='members.tier', verbose_name='会员等级'),
        ),
        migrations.AddField(
            model_name='entitlement',
            name='tier',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='entitlements', to='members.tier'),
        ),
        migrations.AddField(
            model_name='tierbenefit',
            name='benefit',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='members.benefit', verbose_name='权益'),
        ),
        migrations.AddField(
            model_name='tierbenefit',
            name='tier',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='members.tier'),
        ),
        migrations.AddField(
            model_name='benefit',
            name='tiers',
            field=models.ManyToManyField(related_name='benefits', through='members.TierBenefit', to='members.tier'),
        ),
        migrations.AddIndex(
            model_name='member',
            index=models.Index(condition=models.Q(('paid_until__isnull', False)), fields=['paid_until'], name='member_paid_until'),
        ),
        migrations.AddConstraint(
            model_name='member',
            constraint=models.CheckConstraint(condition=models.Q(('phone__isnull', True), ('phone__regex', '^\\+861[3-9][0-9]{9}$'), _connector='OR'), name='member_phone_e164'),
        ),
        migrations.AddConstraint(
            model_name='member',
            constraint=models.CheckConstraint(condition=models.Q(('is_staff', False), ('username__isnull', False), _connector='OR'), name='member_staff_has_name'),
        ),
        migrations.AddConstraint(
            model_name='pause',
            constraint=models.UniqueConstraint(condition=models.Q(('ends_at__isnull', True)), fields=('member',), name='pause_one_open'),
        ),
        migrations.AddConstraint(
            model_name='pause',
            constraint=models.CheckConstraint(condition=models.Q(('ends_at__isnull', True), ('ends_at__gte', models.F('starts_at')), _connector='OR'), name='pause_forward'),
        ),
        migrations.AddConstraint(
            model_name='segment',
            constraint=models.UniqueConstraint(fields=('member', 'starts_at'), name='segment_member_start'),
        ),
        migrations.AddConstraint(
            model_name='segment',
            constraint=models.UniqueConstraint(fields=('member', 'ends_at'), name='segment_member_end'),
        ),
        migrations.AddConstraint(
            model_name='segment',
            constraint=models.CheckConstraint(condition=models.Q(('ends_at__gt', models.F('starts_at'))), name='segment_forward'),
        ),
        migrations.AddConstraint(
            model_name='pricechange',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('plan__isnull', False), ('tier__isnull', True)), models.Q(('plan__isnull', True), ('tier__isnull', False)), _connector='OR'), name='price_change_of_one'),
        ),
        migrations.AddConstraint(
            model_name='plan',
            constraint=models.UniqueConstraint(fields=('tier', 'days'), name='plan_tier_days_once'),
        ),
        migrations.AddConstraint(
            model_name='plan',
            constraint=models.CheckConstraint(condition=models.Q(('days__gt', 0), ('price_fen__gt', 0)), name='plan_positive'),
        ),
        migrations.AddConstraint(
            model_name='plan',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('promo_ends_at__isnull', True), ('promo_price_fen__isnull', True), ('promo_starts_at__isnull', True)), models.Q(('promo_ends_at__gt', models.F('promo_starts_at')), ('promo_price_fen__gt', 0), ('promo_price_fen__lt', models.F('price_fen'))), _connector='OR'), name='plan_promo_whole'),
        ),
        migrations.AddConstraint(
            model_name='entitlement',
            constraint=models.CheckConstraint(condition=models.Q(('revoked_seconds__lte', models.F('seconds')), ('seconds__gt', 0)), name='entitlement_seconds'),
        ),
        migrations.AddConstraint(
            model_name='entitlement',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('order__isnull', False), ('source', 'order')), models.Q(('actor__isnull', False), ('order__isnull', True), ('source', 'grant')), _connector='OR'), name='entitlement_has_source'),
        ),
        migrations.AddConstraint(
            model_name='tierbenefit',
            constraint=models.UniqueConstraint(fields=('tier', 'benefit'), name='tier_benefit_once'),
        ),
    ]
