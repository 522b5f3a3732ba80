"""The console's coupons: one code by hand, or many at once under the name of a batch."""

from __future__ import annotations

import csv
import re
import secrets
from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from kameng.lookups import ChosenOnly, ConsoleAdmin, chip, now_of
from kameng.templatetags.shop import discount, yuan
from orders import coupons
from orders.coupon_models import FULL_BP, Coupon, Scope

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Nothing that is mistaken for something else, and no words by chance."""
LENGTH = 10
MOST = 1_000
"""Codes of one batch."""
BATCH = re.compile(r"[-\w ]{1,40}")


def random_code() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


class CouponForm(forms.ModelForm):
    """A coupon; where it is new also how many of its kind."""

    how_many = forms.IntegerField(
        label=gettext_lazy("生成几个"),
        min_value=1,
        max_value=MOST,
        initial=1,
        required=False,
        help_text=gettext_lazy("优惠码空着就随机生成；多于一个时都是随机的。"),
    )

    class Meta:
        widgets = {
            "plans": forms.CheckboxSelectMultiple,
            "tiers": forms.CheckboxSelectMultiple,
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "code" in self.fields:
            self.fields["code"].required = False

    def clean_code(self) -> str:
        """As it will be looked for; empty for one that is made up."""
        return coupons.plain(self.cleaned_data["code"]) or random_code()

    def clean_batch(self) -> str:
        batch: str = self.cleaned_data["batch"]
        if batch and not BATCH.fullmatch(batch):
            raise forms.ValidationError(_("只用文字、数字、空格和横线"))
        return batch

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        if (given.get("off_fen") is None) == (given.get("off_bp") is None):
            self.add_error("off_fen", _("减钱和减百分比，填一项"))
        start, end = given.get("starts_at"), given.get("ends_at")
        if start and end and end <= start:
            self.add_error("ends_at", _("结束要晚于开始"))
        names = ("plans", "tiers", "goods")
        if given.get("scope") == Scope.CHOSEN and not any(map(given.get, names)):
            self.add_error("scope", _("至少选一个套餐、等级或商品"))
        most = given.get("max_uses")
        if self.instance.pk and most is not None:
            used = coupons.lock(self.instance.pk).used
            if most < used:
                self.add_error("max_uses", _("已经用了 {n} 次").format(n=used))
        if (given.get("how_many") or 1) > 1 and not given.get("batch"):
            self.add_error("batch", _("一次生成多个时要有批次名，好找"))
        return given


class BatchFilter(ChosenOnly):
    title = gettext_lazy("批次")
    parameter_name = "batch"
    pattern = BATCH

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Coupon]
    ) -> QuerySet[Coupon]:
        value = self.value()
        return queryset.filter(batch=value) if value else queryset


@admin.register(Coupon)
class CouponAdmin(ConsoleAdmin):
    form = CouponForm
    change_list_template = "console/coupon_list.html"
    lookups = ("batch",)
    list_filter = (BatchFilter,)
    list_display = ("code", "takes_off", "uses", "state", "batch", "ends_at")
    search_fields = ("=code",)
    sortable_by = ()
    fields = (
        "code",
        "how_many",
        "batch",
        "off_fen",
        "off_bp",
        "min_fen",
        "starts_at",
        "ends_at",
        "scope",
        "plans",
        "tiers",
        "goods",
        "max_uses",
        "max_per_member",
        "enabled",
    )

    @admin.display(description=gettext_lazy("减"))
    def takes_off(self, coupon: Coupon) -> str:
        if coupon.off_bp is None:
            return yuan(coupon.off_fen or 0)
        return discount(FULL_BP - coupon.off_bp) or "100%"

    @admin.display(description=gettext_lazy("用了几次"))
    def uses(self, coupon: Coupon) -> str:
        return f"{coupon.used} / {coupon.max_uses}"

    @admin.display(description=gettext_lazy("启用"))
    def state(self, coupon: Coupon) -> SafeString:
        if not coupon.enabled:
            return chip(_("停用"), "", "–")
        if coupon.used >= coupon.max_uses:
            return chip(_("用完"), "", "×")
        return chip(_("启用"), "ok", "✓")

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        names = super().get_fields(request, obj)
        return [name for name in names if not (obj and name == "how_many")]

    def get_readonly_fields(
        self, request: HttpRequest, obj: Model | None = None
    ) -> list[str]:
        return ["code"] if obj else []

    def has_delete_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        return False  # switched off instead: orders refer to it

    def save_model(
        self, request: HttpRequest, obj: Coupon, form: forms.ModelForm, change: bool
    ) -> None:
        """Never the count of uses: an order of this moment may have moved it."""
        if change:
            names = [field.name for field in obj._meta.fields]
            kept = ("id", "code", "used", "actor", "created_at")
            obj.save(update_fields=[name for name in names if name not in kept])
            return
        actor: Any = request.user
        obj.actor, obj.created_at = actor, now_of(request)
        if (form.cleaned_data.get("how_many") or 1) > 1:
            obj.code = random_code()
        obj.save()

    def save_related(
        self, request: HttpRequest, form: Any, formsets: Any, change: bool
    ) -> None:
        super().save_related(request, form, formsets, change)
        more = (form.cleaned_data.get("how_many") or 1) - 1
        if not change and more:
            _repeat(form.instance, more)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.codes_view)
        return [
            path("codes/", view, name="orders_coupon_codes"),
            *super().get_urls(),
        ]

    def codes_view(self, request: HttpRequest) -> HttpResponse:
        """The codes of one batch as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        batch = request.GET.get("batch", "")
        answer = HttpResponse(content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = 'attachment; filename="coupons.csv"'
        found = Coupon.objects.filter(batch=batch) if BATCH.fullmatch(batch) else ()
        writer = csv.writer(answer)
        writer.writerow(["code", "used", "max_uses"])
        writer.writerows((each.code, each.used, each.max_uses) for each in found)
        return answer


def _repeat(first: Coupon, more: int) -> None:
    """So many more coupons like the first one, each with a code of its own."""
    facts = {
        field.attname: getattr(first, field.attname)
        for field in Coupon._meta.concrete_fields
        if field.name not in ("id", "code", "used")
    }
    codes: set[str] = set()
    while len(codes) < more:
        codes.add(random_code())
    made = Coupon.objects.bulk_create(
        Coupon(**facts, code=code) for code in sorted(codes)
    )
    for name in ("plans", "tiers", "goods"):
        chosen: Iterable[Model] = getattr(first, name).all()
        through = getattr(Coupon, name).through
        target = Coupon._meta.get_field(name).m2m_reverse_field_name()  # type: ignore[union-attr]
        through.objects.bulk_create(
            through(coupon_id=coupon.pk, **{f"{target}_id": each.pk})
            for coupon in made
            for each in chosen
        )
