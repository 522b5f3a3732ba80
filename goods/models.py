from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

QUANTITY_MAX = 12
"""Most pieces of one thing in one order, whatever an operator allows."""


class Category(models.Model):
    """A shelf of the zone."""

    slug = models.SlugField(_("代码"), max_length=32, unique=True)
    name = models.CharField(_("名称"), max_length=32)
    name_en = models.CharField(_("英文名称"), max_length=64, blank=True)
    position = models.PositiveSmallIntegerField(_("排序"), default=0)

    class Meta:
        verbose_name = _("商品分类")
        verbose_name_plural = _("商品分类")
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return self.name


class GoodsQuerySet(models.QuerySet["Goods"]):
    def on_sale(self) -> GoodsQuerySet:
        return self.filter(enabled=True)


class Goods(models.Model):
    """A virtual thing that is delivered as a card key.

    ``stock`` is the number of free keys. It moves in the transaction that moves the
    keys, under this row's lock, so that nobody counts thousands of rows on a page; the
    audit compares the two (INV-13). ``low_since`` is set when the stock falls below the
    threshold and cleared when it is filled up: one alert a crossing.
    """

    slug = models.SlugField(_("代码"), max_length=40, unique=True)
    category = models.ForeignKey(
        Category, models.PROTECT, related_name="goods", verbose_name=_("分类")
    )
    name = models.CharField(_("名称"), max_length=60)
    name_en = models.CharField(_("英文名称"), max_length=80, blank=True)
    summary = models.CharField(_("简介"), max_length=200, blank=True)
    summary_en = models.CharField(_("英文简介"), max_length=300, blank=True)
    instructions = models.TextField(
        _("使用说明"),
        max_length=2_000,
        blank=True,
        help_text=_("付款后显示。订单记下的是下单那一刻的说明。"),
    )
    price_fen = models.PositiveIntegerField(
        _("价格（分）"),
        validators=[MinValueValidator(1), MaxValueValidator(10_000_000)],
    )
    member_discount = models.BooleanField(
        _("会员折扣"),
        default=True,
        help_text=_("打开时，按会员正在使用的等级打折。"),
    )
    max_per_order = models.PositiveSmallIntegerField(
        _("每单限购"),
        default=5,
        validators=[MinValueValidator(1), MaxValueValidator(QUANTITY_MAX)],
    )
    max_per_member = models.PositiveIntegerField(
        _("每人限购"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("空着就是不限。"),
    )
    low_stock = models.PositiveIntegerField(
        _("库存提醒线"), default=10, help_text=_("少于这么多时提醒一次，0 是不提醒。")
    )
    real_name_from_fen = models.PositiveIntegerField(
        _("多少起要实名（分）"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("一单到这个金额，买的人要先实名认证。空着就是不要。"),
    )
    restocks = models.BooleanField(
        _("会补货"), default=True, help_text=_("不再补货的，卖完就显示「已售完」。")
    )
    enabled = models.BooleanField(_("在售"), default=True)
    position = models.PositiveSmallIntegerField(_("排序"), default=0)
    stock = models.PositiveIntegerField(_("库存"), default=0, editable=False)
    low_since = models.DateTimeField(_("库存低于提醒线"), null=True, editable=False)

    objects: ClassVar[models.Manager[Goods]] = GoodsQuerySet.as_manager()

    class Meta:
        verbose_name = _("商品")
        verbose_name_plural = _("商品")
        ordering = ["category__position", "position", "id"]
        constraints = [
            models.CheckConstraint(
                name="goods_positive",
                condition=Q(
                    price_fen__gt=0,
                    max_per_order__gte=1,
                    max_per_order__lte=QUANTITY_MAX,
                ),
            ),
            models.CheckConstraint(
                name="goods_stock_not_negative", condition=Q(stock__gte=0)
            ),
        ]

    def __str__(self) -> str:
        return self.name


class GoodsChange(models.Model):
    """Price history: one row for each change of a price or of what is sold, for ever."""

    goods = models.ForeignKey(Goods, models.PROTECT, related_name="changes")
    field = models.CharField(_("项目"), max_length=32)
    old = models.CharField(_("原值"), max_length=40, blank=True)
    new = models.CharField(_("新值"), max_length=40, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    changed_at = models.DateTimeField(_("时间"), default=timezone.now)

    class Meta:
        verbose_name = _("商品变更")
        verbose_name_plural = _("商品变更")
        ordering = ["-changed_at", "-id"]

    def __str__(self) -> str:
        return f"{self.field}: {self.old} → {self.new}"


class BatchState(models.TextChoices):
    """Moves: checked → running | dropped; running → done; done → undone."""

    CHECKED = "checked", _("已检查，等确认")
    RUNNING = "running", _("导入中")
    DONE = "done", _("已导入")
    UNDONE = "undone", _("已撤销")
    DROPPED = "dropped", _("已放弃")


class KeyBatch(models.Model):
    """One import of keys, from the dry run to its undoing.

    ``content`` holds the lines, sealed, until they are imported or dropped; ``position``
    is how many of them are done, so that a second worker goes on where one died.
    ``duplicates`` and ``malformed`` are line numbers, never keys.
    """

    goods = models.ForeignKey(
        Goods, models.PROTECT, related_name="batches", verbose_name=_("商品")
    )
    state = models.CharField(
        _("状态"), max_length=8, choices=BatchState, default=BatchState.CHECKED
    )
    content = models.TextField(editable=False, blank=True)
    lines = models.PositiveIntegerField(_("可用行数"), default=0)
    position = models.PositiveIntegerField(_("已处理"), default=0)
    added = models.PositiveIntegerField(_("已入库"), default=0)
    removed = models.PositiveIntegerField(_("已撤销"), default=0)
    duplicates = models.JSONField(_("重复的行"), default=list)
    malformed = models.JSONField(_("有问题的行"), default=list)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        verbose_name=_("谁导入"),
    )
    created_at = models.DateTimeField(_("时间"), default=timezone.now)
    finished_at = models.DateTimeField(_("完成时间"), null=True)

    class Meta:
        verbose_name = _("卡密批次")
        verbose_name_plural = _("卡密批次")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="key_batch_state_known", condition=Q(state__in=BatchState.values)
            ),
            models.CheckConstraint(
                name="key_batch_counts",
                condition=Q(position__lte=F("lines"), removed__lte=F("added")),
            ),
            models.CheckConstraint(  # keys lie here no longer than they are needed
                name="key_batch_content_while_open",
                condition=Q(state__in=["checked", "running"]) | Q(content=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.goods} #{self.pk}"


class KeyState(models.TextChoices):
    """Moves: free → sold; sold → free | void while nobody has seen it."""

    FREE = "free", _("未售")
    SOLD = "sold", _("已售")
    VOID = "void", _("作废")


class CardKey(models.Model):
    """One card key (卡密): sealed, known again by its digest, given to one order.

    ``order`` points up the import direction by name only. A key that somebody has seen
    is sold for ever (F14).
    """

    goods = models.ForeignKey(
        Goods, models.PROTECT, related_name="keys", verbose_name=_("商品")
    )
    batch = models.ForeignKey(
        KeyBatch, models.PROTECT, related_name="keys", verbose_name=_("批次")
    )
    secret = models.TextField(editable=False)
    digest = models.CharField(max_length=64, editable=False)
    state = models.CharField(
        _("状态"), max_length=4, choices=KeyState, default=KeyState.FREE
    )
    order = models.ForeignKey(
        "orders.Order",
        models.PROTECT,
        null=True,
        related_name="keys",
        verbose_name=_("订单"),
    )
    revealed_at = models.DateTimeField(_("首次查看"), null=True)

    class Meta:
        verbose_name = _("卡密")
        verbose_name_plural = _("卡密")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(  # K20
                fields=["goods", "digest"], name="card_key_once"
            ),
            models.CheckConstraint(  # K21
                name="card_key_sold_to_an_order",
                condition=Q(state="sold", order__isnull=False)
                | Q(state__in=["free", "void"], order__isnull=True),
            ),
            models.CheckConstraint(  # F14
                name="card_key_seen_is_sold",
                condition=Q(revealed_at__isnull=True) | Q(state="sold"),
            ),
        ]
        indexes = [
            models.Index(
                fields=["goods", "id"],
                name="card_key_free",
                condition=Q(state="free"),
            )
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"
