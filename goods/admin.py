"""The console's pages for goods, and card keys coming in: checked, imported, undone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Model, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from goods import importing
from goods.models import BatchState, Category, Goods, GoodsChange, KeyBatch, KeyState
from kameng.admin_site import Reporting, Tile
from kameng.lookups import ConsoleAdmin, PageAdmin, chip, now_of
from kameng.templatetags.shop import yuan

SHOWN_LINES = 200
"""Line numbers that a page lists; the counts beside them are exact."""
SHOWN_CHANGES = 20
LARGEST = 5_000_000
"""Bytes of a file: 50,000 keys of 100 characters."""
WATCHED = ("price_fen", "member_discount", "real_name_from_fen", "enabled")
"""What the history keeps."""


@admin.register(Category)
class CategoryAdmin(ConsoleAdmin):
    list_display = ("name", "slug", "position")
    sortable_by = ()

    def get_readonly_fields(
        self, request: HttpRequest, obj: Model | None = None
    ) -> list[str]:
        return ["slug"] if obj else []


class LowFilter(admin.SimpleListFilter):
    """Goods whose keys run low; the tile on the front page sets it."""

    title = gettext_lazy("库存")
    parameter_name = "stock"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin
    ) -> list[tuple[str, str]]:
        return [("low", _("低于提醒线"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() != "low":
            return queryset
        return queryset.filter(enabled=True, low_since__isnull=False)


@admin.register(Goods)
class GoodsAdmin(Reporting, ConsoleAdmin):
    """What is sold and at what price; the stock moves with the keys alone."""

    change_form_template = "console/goods_form.html"
    lookups = ("stock",)
    list_filter = (LowFilter,)
    list_display = ("name", "category", "price", "in_stock", "sold")
    list_select_related = ("category",)
    sortable_by = ()

    @admin.display(description=gettext_lazy("价格"))
    def price(self, goods: Goods) -> str:
        return yuan(goods.price_fen)

    @admin.display(description=gettext_lazy("库存"))
    def in_stock(self, goods: Goods) -> SafeString:
        low = goods.low_since is not None
        return chip(goods.stock, "warn" if low else "ok", "!" if low else "✓")

    @admin.display(description=gettext_lazy("在售"), boolean=True)
    def sold(self, goods: Goods) -> bool:
        return goods.enabled

    def tiles(self, request: HttpRequest) -> list[Tile]:
        listing = reverse("admin:goods_goods_changelist")
        low = Goods.objects.filter(enabled=True, low_since__isnull=False).count()
        return [Tile(_("库存低的商品"), low, f"{listing}?stock=low", is_case=True)]

    def get_readonly_fields(
        self, request: HttpRequest, obj: Model | None = None
    ) -> list[str]:
        return ["slug"] if obj else []

    def has_delete_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        return False  # taken off sale instead: orders and keys refer to it (I8)

    def save_model(
        self, request: HttpRequest, obj: Goods, form: forms.ModelForm, change: bool
    ) -> None:
        """Never the stock: a sale of this moment may have moved it."""
        names = [f.name for f in obj._meta.fields if f.name not in STOCK]
        actor: Any = request.user
        before = Goods.objects.filter(pk=obj.pk).values(*WATCHED).first() or {}
        if change:
            obj.save(update_fields=[name for name in names if name != "id"])
        else:
            obj.save()
        GoodsChange.objects.bulk_create(
            GoodsChange(
                goods=obj,
                field=field,
                old=_stored(before.get(field)),
                new=_stored(getattr(obj, field)),
                actor=actor,
                changed_at=now_of(request),
            )
            for field in WATCHED
            if before.get(field) != getattr(obj, field)
        )

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        goods: Any = self.get_object(request, unquote(object_id))
        lines = []
        if goods is not None and self.has_view_permission(request, goods):
            changes = goods.changes.select_related("actor")
            lines = [_line(each) for each in changes[:SHOWN_CHANGES]]
        context = {"price_lines": lines} | (extra_context or {})
        return super().change_view(request, object_id, form_url, context)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.import_view)
        page = path("<int:pk>/import/", view, name="goods_goods_import")
        return [page, *super().get_urls()]

    def import_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Paste or upload; the answer is a dry run that waits for a word."""
        if not request.user.has_perm("goods.add_keybatch"):
            raise PermissionDenied
        goods = get_object_or_404(Goods, pk=pk)
        posted = request.method == "POST"
        form = ImportForm(*((request.POST, request.FILES) if posted else ()))
        if posted and form.is_valid():
            reading = form.cleaned_data["reading"]
            batch = importing.check(
                goods.pk, reading, actor_id=request.user.pk, now=now_of(request)
            )
            page = reverse("admin:goods_keybatch_change", args=[batch.pk])
            return HttpResponseRedirect(page)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("导入卡密"),
            "goods": goods,
            "form": form,
        }
        return TemplateResponse(
            request,
            "console/import_keys.html",
            context,
            status=422 if form.errors else 200,
        )


STOCK = ("stock", "low_since")


def _stored(value: Any) -> str:
    """A value as the history keeps it; nothing is kept as nothing."""
    return "" if value is None else str(value)


def _line(change: GoodsChange) -> dict[str, Any]:
    labels = {f.name: f.verbose_name for f in Goods._meta.fields}

    def words(value: str) -> str:
        if change.field in ("price_fen", "real_name_from_fen") and value:
            return yuan(int(value))
        return {"": "–", "True": _("是"), "False": _("否")}.get(value, value)

    return {
        "at": change.changed_at,
        "who": str(change.actor or _("系统")),
        "what": labels.get(change.field, change.field),
        "old": words(change.old),
        "new": words(change.new),
    }


class ImportForm(forms.Form):
    """Pasted lines or a file; what comes out is a ``Reading``."""

    text = forms.CharField(
        label=gettext_lazy("粘贴卡密，一行一张"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 10, "autocomplete": "off"}),
    )
    file = forms.FileField(label=gettext_lazy("或选文件（文本或 CSV）"), required=False)
    is_csv = forms.BooleanField(
        label=gettext_lazy("粘贴的是 CSV（一列，或卡号和密码两列）"), required=False
    )

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        text, upload = given.get("text") or "", given.get("file")
        if bool(text.strip()) == bool(upload):
            raise forms.ValidationError(_("粘贴或选文件，只用一种"))
        is_csv = bool(given.get("is_csv"))
        if upload:
            if upload.size > LARGEST:
                raise forms.ValidationError(_("文件太大了，分几次导入"))
            is_csv = is_csv or upload.name.lower().endswith(".csv")
            try:
                text = importing.decode(upload.read())
            except importing.NotText:
                words = _("读不懂这个文件，请存成 UTF-8 文本")
                raise forms.ValidationError(words) from None
        return {**given, "reading": importing.read(text, is_csv=is_csv)}


TONES = {
    BatchState.CHECKED: ("warn", "?"),
    BatchState.RUNNING: ("warn", "…"),
    BatchState.DONE: ("ok", "✓"),
    BatchState.UNDONE: ("", "×"),
    BatchState.DROPPED: ("", "–"),
}


@admin.register(KeyBatch)
class KeyBatchAdmin(PageAdmin):
    """One import: its dry run, its progress, its undoing. No key is ever shown."""

    page_template = "console/key_batch.html"
    list_display = ("id", "goods", "status", "added", "created_at", "actor")
    list_select_related = ("goods", "actor")

    @admin.display(description=gettext_lazy("状态"))
    def status(self, batch: KeyBatch) -> SafeString:
        state = BatchState(batch.state)
        return chip(state.label, *TONES[state])

    def page(self, row: KeyBatch, *, now: datetime) -> dict[str, Any]:
        counts = row.keys.aggregate(
            free=Count("pk", filter=Q(state=KeyState.FREE)),
            sold=Count("pk", filter=Q(state=KeyState.SOLD)),
        )
        return {
            "title": str(row),
            "batch": row,
            "status": self.status(row),
            "counts": counts,
            "duplicates": row.duplicates[:SHOWN_LINES],
            "malformed": [
                (number, _(why)) for number, why in row.malformed[:SHOWN_LINES]
            ],
        }

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.decide_view)
        decisions = [
            path(
                f"<int:pk>/{name}/", view, {"decision": name}, f"goods_keybatch_{name}"
            )
            for name in ("confirm", "drop", "undo")
        ]
        return [*decisions, *super().get_urls()]

    def decide_view(self, request: HttpRequest, pk: int, decision: str) -> HttpResponse:
        """Import it, drop it, or take it out again; each leaves a line in the log."""
        if not request.user.has_perm("goods.add_keybatch"):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponse(status=405, headers={"Allow": "POST"})
        batch = get_object_or_404(KeyBatch, pk=pk)
        words = self._decide(batch, decision, now=now_of(request))
        if words:
            self.log_change(request, batch, words)
            messages.success(request, words)
        else:
            messages.error(request, _("这一批的状态已经变了，没有改动"))
        page = reverse("admin:goods_keybatch_change", args=[pk])
        return HttpResponseRedirect(page)

    def _decide(self, batch: KeyBatch, decision: str, *, now: datetime) -> str:
        match decision:
            case "confirm" if importing.confirm(batch.pk, now=now):
                return _("开始导入")
            case "drop" if importing.drop(batch.pk):
                return _("已放弃，没有导入")
            case "undo":
                removed = importing.undo(batch.pk, now=now)
                if removed is not None:
                    return _("已撤销 {n} 张未售的卡密").format(n=removed)
        return ""
