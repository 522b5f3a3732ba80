"""epay (易支付); what it carries is kept by operators, see ``payments.epay_channels``."""

from __future__ import annotations

from payments.gateways.contract import Channel

CHANNELS: tuple[Channel, ...] = ()
