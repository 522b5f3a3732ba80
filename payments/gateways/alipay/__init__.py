"""Alipay (支付宝), and its row of the payment chooser."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from kameng.devices import Device
from payments.gateways.contract import Channel, Product

CHANNELS = (
    Channel(
        "alipay",
        "alipay",
        _("支付宝"),
        _("支付宝"),
        {
            Device.DESKTOP: (Product.QR, Product.PAGE),
            Device.PHONE: (Product.WAP, Product.QR),
            Device.WECHAT: (),
            Device.ALIPAY: (Product.WAP,),
        },
        reasons={
            Device.WECHAT: _("微信里打不开支付宝。点右上角「…」，选「在浏览器打开」")
        },
    ),
)
