"""The aggregator's own side of the wire, written by hand: signs whatever it is given."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from urllib.parse import urlencode

from tests.payments.far_side import NOBODY

Fields = dict[str, str]


class FarEpay:
    PID = "1101"
    KEY = "Q7mZk39sVtR1xw5LbN8cY2dF6gHj4PaE"

    @classmethod
    def settings(cls, url: str = NOBODY) -> dict[str, str]:
        return {
            "EPAY_BASE_URL": url,
            "EPAY_PID": cls.PID,
            "EPAY_KEY": cls.KEY,
            "EPAY_PHONE_CREDIT_TYPE": "huafei",
        }

    @classmethod
    def paid(cls, number: str, money: str = "15.00", **other: str) -> Fields:
        """The fields of a success notice; ``other`` replaces or adds some."""
        return {
            "pid": cls.PID,
            "trade_no": "2026112210000900000001",
            "out_trade_no": number,
            "type": "huafei",
            "name": "卡盟 临时会员 7 天",
            "money": money,
            "trade_status": "TRADE_SUCCESS",
            "param": "",
        } | other

    @staticmethod
    def text(fields: Mapping[str, str]) -> str:
        pairs = sorted(fields.items())
        return "&".join(
            f"{name}={value}"
            for name, value in pairs
            if value and name not in ("sign", "sign_type")
        )

    @classmethod
    def sign(cls, fields: Mapping[str, str], key: str | None = None) -> str:
        text = cls.text(fields) + (cls.KEY if key is None else key)
        return hashlib.md5(text.encode()).hexdigest()  # noqa: S324

    @classmethod
    def signed(cls, fields: Mapping[str, str]) -> Fields:
        return {**fields, "sign": cls.sign(fields), "sign_type": "MD5"}

    @classmethod
    def notice(cls, fields: Mapping[str, str]) -> str:
        return urlencode(cls.signed(fields))
