"""epay V1 (易支付) on the wire: what is signed, how, and what comes back.

Only what we send and the notices are signed, by MD5 with a key that both sides hold. The
answers are not: they are worth what TLS is worth, which production demands. Two calls
carry the key itself, one of them in its URL; ``Wire`` keeps all URLs out of the logs.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from itertools import pairwise
from urllib.parse import urlencode

from payments.gateways import form, values
from payments.gateways.contract import NoticeRefused, Refused, Unclear
from payments.gateways.wire import Answer, Wire

_CALLED = "1"  # the call worked; anything else is an error
_CODE = re.compile(r"-?[0-9]{1,6}", re.ASCII)
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def signed_text(params: Mapping[str, str]) -> str:
    """Sorted ``name=value`` pairs joined by ``&``; empty values and the sign left out."""
    return "&".join(
        f"{name}={params[name]}"
        for name in sorted(params)
        if params[name] and name not in ("sign", "sign_type")
    )


class EpayClient:
    """Signs and checks with the one shared key."""

    def __init__(self, *, base_url: str, pid: str, key: str, wire: Wire) -> None:
        self._base_url = base_url.rstrip("/")
        self._pid = pid
        self._key = key
        self._wire = wire

    def sign(self, params: Mapping[str, str]) -> str:
        """MD5 of the text with the key behind it, in lower-case hexadecimal."""
        text = signed_text(params) + self._key
        # Not our choice: the protocol knows nothing else.
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    def order(self, params: Mapping[str, str]) -> dict[str, str]:
        """Open a payment by ``mapi.php`` and return the answer.

        raises  Refused, Unclear
        """
        fields = {"pid": self._pid, **params}
        fields |= {"sign": self.sign(fields), "sign_type": "MD5"}
        return self._read(self._post("mapi.php", fields))

    def query(self, number: str) -> dict[str, str]:
        """What ``api.php`` knows of one order.

        raises  Refused, Unclear
        """
        query = urlencode(
            {
                "act": "order",
                "pid": self._pid,
                "key": self._key,
                "out_trade_no": number,
            }
        )
        answer = self._wire.exchange(
            "GET", f"{self._base_url}/api.php?{query}", headers={}, content=b""
        )
        return self._read(answer)

    def refund(self, params: Mapping[str, str]) -> dict[str, str]:
        """Give an order's money back.

        raises  Refused, Unclear
        """
        fields = {"pid": self._pid, "key": self._key, **params}
        return self._read(self._post("api.php?act=refund", fields))

    def _post(self, path: str, fields: Mapping[str, str]) -> Answer:
        return self._wire.exchange(
            "POST",
            f"{self._base_url}/{path}",
            headers=_FORM,
            content=urlencode(fields).encode(),
        )

    def _read(self, answer: Answer) -> dict[str, str]:
        """The answer's members as texts; whatever is neither text nor number is left out.

        raises  Refused for the gateway's own error, Unclear for all else
        """
        if answer.status != 200:
            raise Unclear(f"http-{answer.status}")
        try:
            # Numbers stay the text they were: `3.00` must never become a float.
            given = json.loads(
                answer.body.decode("utf-8"),
                parse_float=str,
                parse_int=str,
                object_pairs_hook=_once,
            )
        except (ValueError, RecursionError):
            raise Unclear("malformed") from None
        if not isinstance(given, dict):
            raise Unclear("malformed")
        texts = {n: value for n, value in given.items() if isinstance(value, str)}
        code = texts.get("code", "")
        if code == _CALLED:
            return texts
        if not _CODE.fullmatch(code):
            raise Unclear("malformed")
        raise Refused(code, values.words(texts, "msg"))

    def read_notice(self, body: bytes) -> dict[str, str]:
        """The parameters of a notice, once its signature has held.

        raises  NoticeRefused
        """
        params = form.read(body)
        if _is_ambiguous(params):
            raise NoticeRefused("ambiguous")
        signature = params.get("sign", "")
        if not signature:
            raise NoticeRefused("unsigned")
        if params.get("sign_type", "MD5") != "MD5":
            raise NoticeRefused("algorithm")
        # As bytes: a signature that is no ASCII is only wrong, never an error.
        if not hmac.compare_digest(signature.encode(), self.sign(params).encode()):
            raise NoticeRefused("signature")
        # Nobody signed the empty ones: they may have been added on the way.
        return {name: value for name, value in params.items() if value}


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member comes twice")
    return found


def _is_ambiguous(params: Mapping[str, str]) -> bool:
    """Whether the signed text could also be that of other fields.

    The joined text has no escapes: `&b=2` inside the value of `a` reads like a field of
    its own where `b` may stand between `a` and the next name. Elsewhere it cannot be
    one, since the names are sorted, so that a `param` of `u=1&v=2` is let through.
    """
    names = sorted(
        name
        for name, value in params.items()
        if value and name not in ("sign", "sign_type")
    )
    for name, following in pairwise([*names, ""]):
        for piece in params[name].split("&")[1:]:
            inner, is_pair, _ = piece.partition("=")
            fits = name <= inner and (not following or inner <= following)
            if is_pair and fits:
                return True
    return False
