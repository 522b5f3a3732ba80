"""WeChat Pay (微信支付), and its row of the payment chooser."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from kameng.devices import Device
from payments.gateways.contract import Channel, Product

CHANNELS = (
    Channel(
        "wechat",
        "wechat",
        _("微信支付"),
        _("微信"),
        {
            Device.DESKTOP: (Product.NATIVE,),
            Device.PHONE: (Product.H5, Product.NATIVE),
            # WeChat refuses H5 inside itself. Without a service account there is
            # no JSAPI either: the QR is scanned by another phone.
            Device.WECHAT: (Product.JSAPI, Product.NATIVE),
            Device.ALIPAY: (),
        },
    ),
)
