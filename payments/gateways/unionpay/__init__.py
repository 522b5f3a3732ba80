"""UnionPay (银联), and its row of the payment chooser."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from kameng.devices import Device
from payments.gateways.contract import Channel, Product

CHANNELS = (
    Channel(
        "unionpay",
        "unionpay",
        _("银联云闪付"),
        _("云闪付"),
        {
            Device.DESKTOP: (Product.FRONT,),
            Device.PHONE: (Product.FRONT_PHONE,),
            # Both keep their own wallet's rivals from opening.
            Device.WECHAT: (),
            Device.ALIPAY: (),
        },
    ),
)
