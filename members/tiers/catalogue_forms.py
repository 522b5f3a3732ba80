"""The forms for tiers and plans: money typed in yuan, broken rules told in words."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.formsets import DELETION_FIELD_NAME
from django.utils.translation import gettext_lazy as _

from members.models import Plan, Tier
from members.tiers import catalogue_rules
from members.tiers.catalogue_rules import Fault

YUAN = re.compile(r"[¥￥]?\s*([0-9]{1,5})(?:\.([0-9]{1,2}))?", re.ASCII)
"""Digits with none, one or two decimals; twelve of the dearest still fit a column."""


class YuanField(forms.CharField):
    """``15``, ``15.5`` or ``¥15.00``, in fen inside."""

    default_error_messages = {
        "invalid": _("写成 15 或 15.00 这样的金额，最多 99999.99 元。")
    }

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.TextInput({"inputmode": "decimal", "autocomplete": "off"})
        super().__init__(max_length=12, widget=widget, **kwargs)

    def to_python(self, value: Any) -> int | None:  # type: ignore[override]
        text = super().to_python(value)
        if text in self.empty_values:
            return None
        match = YUAN.fullmatch(text or "")
        if not match:
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        fen = int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))
        if fen == 0:
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return fen

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, int):
            return f"{value // 100}.{value % 100:02}"
        return value

    def run_validators(self, value: Any) -> None:
        """The length was the text's; the number needs no more checks."""


class RuledForm(forms.ModelForm):
    """A model form that asks the catalogue's rules once its values are whole.

    now  set on the class for each request
    """

    now: datetime

    def faults(self) -> list[Fault]:
        raise NotImplementedError

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            for fault in self.faults():
                field = fault.field if fault.field in self.fields else None
                self.add_error(field, fault.message)


class PlanForm(RuledForm):
    price = YuanField(label=_("价格（元）"), help_text=_("15 就是 ¥15.00。"))
    promo_price = YuanField(
        label=_("优惠价（元）"),
        required=False,
        help_text=_(
            "限时优惠：价格划线显示，只卖这个价。划线价必须是开始前 7 天里的最低价。"
        ),
    )

    class Meta:
        model = Plan
        fields = (
            "tier",
            "slug",
            "days",
            "promo_starts_at",
            "promo_ends_at",
            "enabled",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial.setdefault("price", self.instance.price_fen)
            self.initial.setdefault("promo_price", self.instance.promo_price_fen)
            if catalogue_rules.is_sold(self.instance):
                self._freeze()

    def _freeze(self) -> None:
        """Show that sales fix these; the rules refuse what comes all the same (I8)."""
        self.fields["days"].widget.attrs["readonly"] = True
        self.fields["days"].help_text = _("已有销售，不能再改。")
        tier = self.fields["tier"]
        assert isinstance(tier, forms.ModelChoiceField)
        tier.empty_label = None
        tier.queryset = Tier.objects.filter(pk=self.instance.tier_id)
        tier.help_text = _("已有销售，不能再改。")

    def _post_clean(self) -> None:
        if "price" in self.cleaned_data:
            self.instance.price_fen = self.cleaned_data["price"]
        if "promo_price" in self.cleaned_data:
            self.instance.promo_price_fen = self.cleaned_data["promo_price"]
        super()._post_clean()

    def faults(self) -> list[Fault]:
        return catalogue_rules.plan_faults(self.instance, now=self.now)


class TierForm(RuledForm):
    real_name_from = YuanField(
        label=_("多少起要实名（元）"),
        required=False,
        help_text=_("一单到这个金额，买的人要先实名认证。空着就是不要。"),
    )

    class Meta:
        model = Tier
        fields = (
            "code",
            "kind",
            "name",
            "name_en",
            "rank",
            "discount_bp",
            "enabled",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            least = self.instance.real_name_from_fen
            self.initial.setdefault("real_name_from", least)
        if self.instance.pk and catalogue_rules.is_sold(self.instance):
            self.fields["rank"].widget.attrs["readonly"] = True

    def _post_clean(self) -> None:
        if "real_name_from" in self.cleaned_data:
            self.instance.real_name_from_fen = self.cleaned_data["real_name_from"]
        super()._post_clean()

    def faults(self) -> list[Fault]:
        return catalogue_rules.tier_faults(self.instance)


class TierBenefitFormSet(forms.BaseInlineFormSet):
    """The benefits of one tier, judged together with those of all other tiers."""

    def add_fields(self, form: forms.ModelForm, index: int | None) -> None:
        """Name each field for those who do not see the table's head."""
        super().add_fields(form, index)
        for field in form.fields.values():
            field.widget.attrs["aria-label"] = field.label

    def given(self) -> dict[int, str]:
        """What the tier would give after saving: benefit id → its words for it."""
        return {
            form.cleaned_data["benefit"].pk: form.cleaned_data["detail"]
            for form in self.forms
            if form.is_valid()
            and form.cleaned_data.get("benefit")
            and not form.cleaned_data.get(DELETION_FIELD_NAME)
        }

    def clean(self) -> None:
        super().clean()
        if any(self.errors) or self.instance.rank is None:
            return
        faults = catalogue_rules.benefit_faults(self.instance, self.given())
        if faults:
            raise ValidationError(faults)
