"""The console's pages for tiers, plans, benefits and their price history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, ProtectedError
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext, gettext_lazy

from kameng.lookups import ConsoleAdmin, LookupAdmin, PlainChoices, chip, now_of
from kameng.templatetags.shop import discount, moment, per_day, yuan
from members.models import Benefit, Member, Plan, PriceChange, Tier, TierBenefit
from members.tiers import catalogue_preview, catalogue_rules, pricing_history
from members.tiers.catalogue_forms import PlanForm, TierBenefitFormSet, TierForm

SHOWN_CHANGES = 20
FIELDS = {
    "price_fen": gettext_lazy("价格"),
    "promo_price_fen": gettext_lazy("优惠价"),
    "promo_starts_at": gettext_lazy("优惠开始"),
    "promo_ends_at": gettext_lazy("优惠结束"),
    "discount_bp": gettext_lazy("折扣"),
    "real_name_from_fen": gettext_lazy("多少起要实名"),
    "enabled": gettext_lazy("在售"),
}
"""What a line of the price history is about."""


class CatalogueAdmin(ConsoleAdmin):
    """A row of the catalogue: saved under the rules, with history and a live preview."""

    change_form_template = "console/catalogue_form.html"
    made_once: tuple[str, ...] = ()
    """Names that links and pages rest on: chosen when the row is made, then fixed."""

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_preview"
        view = self.admin_site.admin_view(self.preview_view)
        return [
            path("preview/", view, name=name),
            path("<int:pk>/preview/", view, name=name),
            *super().get_urls(),
        ]

    def get_readonly_fields(
        self, request: HttpRequest, obj: Model | None = None
    ) -> list[str]:
        if obj is None:
            return []
        return list(self.made_once)

    def get_form(
        self,
        request: HttpRequest,
        obj: Model | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> type[ModelForm]:
        form = super().get_form(request, obj, change=change, **kwargs)
        form.now = now_of(request)  # type: ignore[attr-defined]
        return form

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Judge and save under one lock: two editors could break a rule together."""
        if request.method != "POST":
            return super().changeform_view(request, object_id, form_url, extra_context)
        with transaction.atomic():
            catalogue_rules.lock()
            return super().changeform_view(request, object_id, form_url, extra_context)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        form = context["adminform"].form
        formsets = [inline.formset for inline in context["inline_admin_formsets"]]
        where = [obj.pk] if obj else []
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_preview"
        context |= {
            "preview_url": reverse(name, args=where),
            "price_lines": price_lines(obj) if obj else [],
            "deletion_fault": catalogue_rules.deletion_fault(obj) if obj else "",
            "show_delete": obj and not catalogue_rules.deletion_fault(obj),
            **self.preview(form, formsets, now=now_of(request)),
        }
        return super().render_change_form(request, context, add, change, form_url, obj)

    def preview_view(self, request: HttpRequest, pk: int | None = None) -> HttpResponse:
        """The preview of a form as it is being typed; saves nothing."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponse(status=405, headers={"Allow": "POST"})
        obj = self.get_object(request, str(pk)) if pk else None
        form = self.get_form(request, obj, change=bool(obj))(request.POST, instance=obj)
        form.is_valid()
        formsets = [
            formset(request.POST, instance=form.instance)
            for formset, _inline in self.get_formsets_with_inlines(request, obj)
        ]
        for formset in formsets:
            formset.is_valid()
        shown = self.preview(form, formsets, now=now_of(request))
        return render(request, "console/preview.html", shown)

    def preview(
        self, form: ModelForm, formsets: list[Any], *, now: datetime
    ) -> dict[str, Any]:
        raise NotImplementedError

    def delete_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Refuse with words what sales rest on (I8), also a sale of this moment."""
        obj: Any = self.get_object(request, unquote(object_id))
        may = obj is not None and self.has_delete_permission(request, obj)
        fault = catalogue_rules.deletion_fault(obj) if may else ""
        if not fault:
            try:
                return super().delete_view(request, object_id, extra_context)
            except ProtectedError:
                fault = catalogue_rules.deletion_fault(obj)
        messages.error(request, fault)
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return HttpResponseRedirect(reverse(name, args=[object_id]))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """The row alone: what may be deleted has nothing but its own history."""
        count = {self.opts.verbose_name_plural: len(objs)}
        return [str(obj) for obj in objs], count, set(), []

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        pricing_history.delete_unsold(obj)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the price history in words."""

    at: datetime
    who: str
    what: str
    old: str
    new: str


def price_lines(row: Plan | Tier) -> list[Line]:
    changes = row.price_changes.select_related("actor")
    newest = changes.order_by("-changed_at", "-id")[:SHOWN_CHANGES]
    return [line_of(change) for change in newest]


def line_of(change: PriceChange) -> Line:
    return Line(
        at=change.changed_at,
        who=str(change.actor or gettext("系统")),
        what=str(FIELDS.get(change.field, change.field)),
        old=in_words(change.field, change.old),
        new=in_words(change.field, change.new),
    )


def in_words(field: str, value: str) -> str:
    """A value of the price history as people write it; a dash for none."""
    match field, value:
        case _, "":
            return "–"
        case (("price_fen" | "promo_price_fen" | "real_name_from_fen"), _):
            return yuan(int(value))
        case "discount_bp", _:
            return discount(int(value)) or gettext("无折扣")
        case (("promo_starts_at" | "promo_ends_at"), _):
            return moment(datetime.fromisoformat(value))
        case "enabled", _:
            return gettext("在售") if value == "on" else gettext("停售")
    return value


@admin.register(Plan)
class PlanAdmin(CatalogueAdmin):
    form = PlanForm
    made_once = ("slug",)
    fields = (
        "tier",
        "slug",
        "days",
        "price",
        "enabled",
        "promo_price",
        "promo_starts_at",
        "promo_ends_at",
    )
    list_display = ("name", "price", "daily", "promotion", "sale")
    list_select_related = ("tier",)
    sortable_by = ()

    @admin.display(description=gettext_lazy("套餐"))
    def name(self, plan: Plan) -> str:
        return str(plan)

    @admin.display(description=gettext_lazy("价格"))
    def price(self, plan: Plan) -> str:
        return yuan(plan.price_fen)

    @admin.display(description=gettext_lazy("每天"))
    def daily(self, plan: Plan) -> str:
        return per_day(plan.price_fen, plan.days)

    @admin.display(description=gettext_lazy("限时优惠"))
    def promotion(self, plan: Plan) -> str:
        if plan.promo_price_fen is None or plan.promo_ends_at is None:
            return "–"
        return gettext("{price}，到 {end}").format(
            price=yuan(plan.promo_price_fen), end=moment(plan.promo_ends_at)
        )

    @admin.display(description=gettext_lazy("在售"))
    def sale(self, plan: Plan) -> str:
        return sale_chip(plan.enabled and plan.tier.enabled)

    def preview(
        self, form: ModelForm, formsets: list[Any], *, now: datetime
    ) -> dict[str, Any]:
        plan: Plan = form.instance
        whole = plan.tier_id and plan.days and plan.price_fen
        return {
            "cards": catalogue_preview.plan_cards(plan, now=now) if whole else [],
            "kind": plan.tier.kind if whole else "",
            "faults": faults_of(form),
        }

    def save_model(
        self, request: HttpRequest, obj: Plan, form: ModelForm, change: bool
    ) -> None:
        pricing_history.save_plan(obj, actor=staff_of(request), now=now_of(request))


class TierBenefitInline(PlainChoices, admin.TabularInline):
    model = TierBenefit
    formset = TierBenefitFormSet
    template = "console/tier_benefits.html"

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        """A row for each benefit that the tier does not give yet."""
        given = obj.benefits.count() if obj else 0
        return Benefit.objects.count() - given


@admin.register(Tier)
class TierAdmin(CatalogueAdmin):
    form = TierForm
    made_once = ("code", "kind")
    inlines = (TierBenefitInline,)
    fields = (
        "code",
        "kind",
        "name",
        "name_en",
        "rank",
        "discount_bp",
        "real_name_from",
        "enabled",
    )
    list_display = ("name", "kind", "rank", "rate", "sale")
    sortable_by = ()

    @admin.display(description=gettext_lazy("折扣"))
    def rate(self, tier: Tier) -> str:
        return discount(tier.discount_bp) or gettext("无折扣")

    @admin.display(description=gettext_lazy("在售"))
    def sale(self, tier: Tier) -> str:
        return sale_chip(tier.enabled)

    def preview(
        self, form: ModelForm, formsets: list[Any], *, now: datetime
    ) -> dict[str, Any]:
        tier: Tier = form.instance
        benefits = formsets[0]
        whole = tier.kind and tier.rank is not None and tier.discount_bp
        if not whole:
            return {"cards": [], "faults": faults_of(form)}
        if benefits.is_bound:
            given = benefits.given()
        else:
            given = {each.benefit_id: each.detail for each in benefits.queryset}
        rows = catalogue_preview.comparison(tier, given)
        return {
            "cards": catalogue_preview.tier_cards(tier, now=now),
            "kind": tier.kind,
            "benefits": rows,
            "ladder_version": repr(rows),
            "rate": discount(tier.discount_bp) or gettext("无折扣"),
            "faults": faults_of(form)
            + (list(benefits.non_form_errors()) if benefits.is_bound else []),
        }

    def save_model(
        self, request: HttpRequest, obj: Tier, form: ModelForm, change: bool
    ) -> None:
        pricing_history.save_tier(obj, actor=staff_of(request), now=now_of(request))


@admin.register(Benefit)
class BenefitAdmin(ConsoleAdmin):
    fields = ("code", "label", "label_en", "position")
    list_display = ("label", "code", "position")
    sortable_by = ()

    def get_readonly_fields(
        self, request: HttpRequest, obj: Model | None = None
    ) -> list[str]:
        return ["code"] if obj else []


@admin.register(PriceChange)
class PriceChangeAdmin(LookupAdmin):
    list_display = ("changed_at", "subject", "what", "old_value", "new_value", "who")
    list_select_related = ("plan__tier", "tier", "actor")
    fields = ("changed_at", "subject", "what", "old_value", "new_value", "who")

    @admin.display(description=gettext_lazy("套餐或等级"))
    def subject(self, change: PriceChange) -> str:
        return str(change.plan or change.tier)

    @admin.display(description=gettext_lazy("项目"))
    def what(self, change: PriceChange) -> str:
        return line_of(change).what

    @admin.display(description=gettext_lazy("原值"))
    def old_value(self, change: PriceChange) -> str:
        return line_of(change).old

    @admin.display(description=gettext_lazy("新值"))
    def new_value(self, change: PriceChange) -> str:
        return line_of(change).new

    @admin.display(description=gettext_lazy("谁"))
    def who(self, change: PriceChange) -> str:
        return line_of(change).who


def staff_of(request: HttpRequest) -> Member:
    assert isinstance(request.user, Member)
    return request.user


def faults_of(form: ModelForm) -> list[str]:
    """The words of what was typed wrong or breaks a rule; none for an untouched form."""
    return [str(words) for each in form.errors.values() for words in each]


def sale_chip(on_sale: bool) -> str:
    return chip(gettext("在售"), "ok", "✓") if on_sale else chip(gettext("停售"))
