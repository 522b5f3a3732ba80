from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Outbox(models.Model):
    """HTTP to be done later, written in the transaction that wants it done.

    Moves new → claimed → done | new | dead, each step a conditional update on
    (id, state, tries): ``tries`` counts claims, so it is also the fencing token that
    keeps a worker which woke up too late from writing over its successor.
    """

    class State(models.TextChoices):
        NEW = "new", _("待办")
        CLAIMED = "claimed", _("办理中")
        DONE = "done", _("已办")
        DEAD = "dead", _("已放弃")

    key = models.CharField(_("幂等键"), max_length=200, unique=True)
    kind = models.CharField(_("种类"), max_length=40)
    payload = models.JSONField(
        _("内容"), default=dict, help_text=_("只放编号和普通词，不放手机号和验证码。")
    )
    can_wait = models.BooleanField(
        _("可以等"),
        default=False,
        db_default=False,
        help_text=_("成批的提醒让别的先走。"),
    )
    due_at = models.DateTimeField(_("应办时间"))
    state = models.CharField(_("状态"), max_length=8, choices=State, default=State.NEW)
    tries = models.PositiveSmallIntegerField(_("次数"), default=0)
    claimed_at = models.DateTimeField(_("领取时间"), null=True, blank=True)
    last_error = models.CharField(_("上次错误"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("创建时间"), default=timezone.now)

    class Meta:
        verbose_name = _("待办")
        verbose_name_plural = _("待办")
        constraints = [
            models.CheckConstraint(
                name="outbox_state_known",
                condition=Q(state__in=["new", "claimed", "done", "dead"]),
            ),
            models.CheckConstraint(
                name="outbox_claimed_has_time",
                condition=Q(state="claimed", claimed_at__isnull=False)
                | (~Q(state="claimed") & Q(claimed_at__isnull=True)),
            ),
        ]
        indexes = [
            models.Index(
                "can_wait", "due_at", "id", name="outbox_due", condition=Q(state="new")
            ),
            models.Index(
                "claimed_at", name="outbox_claimed", condition=Q(state="claimed")
            ),
            models.Index("kind", name="outbox_dead", condition=Q(state="dead")),
        ]

    def __str__(self) -> str:
        return self.key


class Notification(models.Model):
    """One message to one member through one channel; the log of what she was told.

    ``params`` are raw values (instants, fen, days); ``notifications.texts`` makes the
    words, for the site in the reader's language. No phone and no code is kept here.
    """

    class Channel(models.TextChoices):
        SITE = "site", _("站内")
        SMS = "sms", _("短信")
        PUSH = "push", _("浏览器推送")

    class State(models.TextChoices):
        QUEUED = "queued", _("排队")
        SENDING = "sending", _("发送中")
        SENT = "sent", _("已发")
        UNKNOWN = "unknown", _("结果不明")
        FAILED = "failed", _("失败")
        SKIPPED = "skipped", _("不必再发")

    MAX_SENDS = 2

    key = models.CharField(_("幂等键"), max_length=180, unique=True)
    member = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="notifications",
        verbose_name=_("会员"),
    )
    kind = models.CharField(_("种类"), max_length=40)
    channel = models.CharField(_("渠道"), max_length=4, choices=Channel)
    params = models.JSONField(_("参数"), default=dict)
    state = models.CharField(
        _("状态"), max_length=8, choices=State, default=State.QUEUED
    )
    optional = models.BooleanField(
        _("可以关"),
        default=False,
        db_default=False,
        help_text=_("会员自己可以关掉的提醒。"),
    )
    due_at = models.DateTimeField(_("应发时间"))
    expires_at = models.DateTimeField(_("过时不发"), null=True, blank=True)
    tries = models.PositiveSmallIntegerField(_("尝试次数"), default=0)
    sends = models.PositiveSmallIntegerField(
        _("可能已发次数"),
        default=0,
        help_text=_("服务商已收下或可能收下的次数，最多两次。"),
    )
    provider = models.CharField(_("服务商"), max_length=16, blank=True)
    provider_id = models.CharField(_("服务商编号"), max_length=80, blank=True)
    code = models.CharField(_("服务商结果"), max_length=80, blank=True)
    report = models.CharField(_("回执"), max_length=80, blank=True)
    created_at = models.DateTimeField(_("创建时间"))
    sent_at = models.DateTimeField(_("发出时间"), null=True, blank=True)
    read_at = models.DateTimeField(_("已读时间"), null=True, blank=True)
    dismissed_at = models.DateTimeField(_("关闭时间"), null=True, blank=True)

    class Meta:
        verbose_name = _("消息")
        verbose_name_plural = _("消息")
        constraints = [
            models.CheckConstraint(
                name="notification_channel_known",
                condition=Q(channel__in=["site", "sms", "push"]),
            ),
            models.CheckConstraint(
                name="notification_state_known",
                condition=Q(
                    state__in=[
                        "queued",
                        "sending",
                        "sent",
                        "unknown",
                        "failed",
                        "skipped",
                    ]
                ),
            ),
            models.CheckConstraint(
                name="notification_sends_at_most_two",
                condition=Q(sends__lte=2) & Q(sends__lte=F("tries")),
            ),
        ]
        indexes = [
            models.Index(
                "member",
                "due_at",
                name="notification_unread",
                condition=Q(channel="site", state="sent", read_at__isnull=True),
            ),
            models.Index(
                "provider_id",
                name="notification_provider_id",
                condition=~Q(provider_id=""),
            ),
        ]

    def __str__(self) -> str:
        return self.key


class OptOut(models.Model):
    """A member wants no messages of one kind through one channel."""

    member = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="opt_outs"
    )
    kind = models.CharField(_("种类"), max_length=40)
    channel = models.CharField(
        _("渠道"), max_length=4, choices=Notification.Channel.choices
    )
    created_at = models.DateTimeField(_("时间"))

    class Meta:
        verbose_name = _("不要的提醒")
        verbose_name_plural = _("不要的提醒")
        constraints = [
            models.UniqueConstraint(
                fields=["member", "kind", "channel"], name="opt_out_once"
            ),
            models.CheckConstraint(
                name="opt_out_channel_known",
                condition=Q(channel__in=["site", "sms", "push"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.channel}"


class PushSubscription(models.Model):
    """One browser that agreed to show messages of the shop to one member.

    The endpoint is an address that its push service made up for us alone; ``digest``
    (SHA-256) makes it unique, for it is longer than an index takes everywhere.
    """

    member = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="push_subscriptions",
        verbose_name=_("会员"),
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    endpoint = models.CharField(max_length=2000, editable=False)
    p256dh = models.CharField(max_length=100, editable=False)
    auth = models.CharField(max_length=40, editable=False)
    created_at = models.DateTimeField(_("创建时间"))
    last_success_at = models.DateTimeField(null=True, editable=False)
    failures = models.PositiveSmallIntegerField(default=0, editable=False)

    class Meta:
        verbose_name = _("浏览器推送")
        verbose_name_plural = _("浏览器推送")

    def __str__(self) -> str:
        return f"#{self.pk}"


class Announcement(models.Model):
    """What an operator tells everybody, in a bar on every page of the shop."""

    text = models.CharField(_("内容"), max_length=120)
    text_en = models.CharField(_("英文内容"), max_length=200, blank=True)
    link = models.CharField(
        _("链接"),
        max_length=200,
        blank=True,
        validators=[
            RegexValidator(
                r"\A/(?![/\\])\S*\Z", _("填店里的路径，以 / 开头，如 /zone/")
            )
        ],
        help_text=_("点了去店里哪一页；可以空着。"),
    )
    starts_at = models.DateTimeField(_("开始"), default=timezone.now)
    ends_at = models.DateTimeField(_("结束"), null=True, blank=True)

    class Meta:
        verbose_name = _("公告")
        verbose_name_plural = _("公告")
        ordering = ["-starts_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="announcement_ends_after_it_starts",
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
                violation_error_message=_("结束要晚于开始"),
            )
        ]

    def __str__(self) -> str:
        return self.text

    def runs_at(self, at: datetime) -> bool:
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)
