"""Alipay's open platform on the wire: what is signed, how, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric import rsa

from payments.gateways import beijing, bills, form, keys, values
from payments.gateways.contract import NoticeRefused, Refused, Unclear
from payments.gateways.wire import Answer, Wire

_CALLED = "10000"  # the call worked; anything else is an error
# These say "not now" or "not known", so the same number may be sent again.
_REPEATABLE = {
    *("20000", "ACQ.SYSTEM_ERROR", "ACQ.SELLER_BALANCE_NOT_ENOUGH"),
    "10003",  # a debit under way
}


def signed_text(params: Mapping[str, str]) -> str:
    """Sorted ``name=value`` pairs joined by ``&``, empty values left out.

    A request is signed over everything but ``sign``; a notice also leaves out
    ``sign_type``.
    """
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if params[name])


class AlipayClient:
    """Signs requests with the application's key, checks answers with Alipay's."""

    def __init__(
        self,
        *,
        gateway_url: str,
        app_id: str,
        app_private_key: rsa.RSAPrivateKey,
        alipay_public_key: rsa.RSAPublicKey,
        wire: Wire,
    ) -> None:
        self._gateway_url = gateway_url
        self._app_id = app_id
        self._app_private_key = app_private_key
        self._alipay_public_key = alipay_public_key
        self._wire = wire

    def request(
        self, method: str, content: Mapping[str, object], *, now: datetime, **urls: str
    ) -> dict[str, str]:
        """All parameters of one request, signed; ``urls`` are notify and return URL."""
        params = {
            "app_id": self._app_id,
            "method": method,
            "format": "json",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": beijing.plain(now),
            "version": "1.0",
            "biz_content": json.dumps(
                content, ensure_ascii=False, separators=(",", ":")
            ),
            **{name: url for name, url in urls.items() if url},
        }
        return params | {"sign": self.sign(params)}

    def sign(self, params: Mapping[str, str]) -> str:
        return keys.sign(self._app_private_key, signed_text(params).encode())

    def page_url(
        self, method: str, content: Mapping[str, object], *, now: datetime, **urls: str
    ) -> str:
        """Where to send the browser; Alipay is not called."""
        query = urlencode(self.request(method, content, now=now, **urls))
        return f"{self._gateway_url}?{query}"

    def call(
        self, method: str, content: Mapping[str, object], *, now: datetime, **urls: str
    ) -> dict[str, Any]:
        """Ask Alipay and return the inner object of its answer, signature checked.

        raises  Refused, Unclear
        """
        answer = self._wire.exchange(
            "POST",
            # Alipay decodes the body by the charset in the query, not in the header.
            f"{self._gateway_url}?charset=utf-8",
            headers={"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"},
            content=urlencode(self.request(method, content, now=now, **urls)).encode(),
        )
        return self.read(method, answer)

    def download(self, url: str) -> bytes:
        """The file at an address that Alipay has named and the caller has checked.

        raises  Unclear
        """
        answer = self._wire.exchange(
            "GET",
            url,
            headers={},
            content=b"",
            largest=bills.LARGEST_FILE,
            seconds=bills.DOWNLOAD_SECONDS,
        )
        if answer.status != 200:
            raise Unclear(f"http-{answer.status}")
        return answer.body

    def read(self, method: str, answer: Answer) -> dict[str, Any]:
        """The inner object of an answer to ``method``.

        raises  Refused for an error that Alipay signed, Unclear for all else
        """
        if answer.status != 200:
            raise Unclear(f"http-{answer.status}")
        try:
            parts = _top_level(answer.body.decode("utf-8"))
        except (ValueError, RecursionError):
            raise Unclear("malformed") from None
        node = f"{method.replace('.', '_')}_response"
        raw, inner = parts.get(node) or parts.get("error_response") or ("", None)
        _, signature = parts.get("sign", ("", ""))
        if not isinstance(inner, dict):
            raise Unclear("malformed")
        signed = isinstance(signature, str) and self._is_alipays(raw, signature)
        if values.text(inner, "code") == _CALLED:
            if not signed or node not in parts:
                raise Unclear("forged")
            return inner
        code = values.words(inner, "sub_code") or values.words(inner, "code")
        words = values.words(inner, "sub_msg") or values.words(inner, "msg")
        repeatable = {code, values.text(inner, "code")} & _REPEATABLE
        if not (signed and code) or repeatable or code.startswith(("isp.", "aop.")):
            raise Unclear(code or "malformed", words)
        raise Refused(code, words)

    def read_notice(self, body: bytes) -> dict[str, str]:
        """The parameters of a notice, once its signature has held.

        raises  NoticeRefused
        """
        params = form.read(body)
        # The joined text has no escapes, so `a=1&b=2` inside a value would also be the
        # signed text of two fields: whoever holds a true notice could move the borders.
        if any("=" in value.partition("&")[2] for value in params.values()):
            raise NoticeRefused("ambiguous")
        signature = params.pop("sign", "")
        if not signature:
            raise NoticeRefused("unsigned")
        if params.pop("sign_type", "") != "RSA2":
            raise NoticeRefused("algorithm")
        if params.get("charset", "utf-8").lower() != "utf-8":
            raise NoticeRefused("charset")
        if not self._is_alipays(signed_text(params), signature):
            raise NoticeRefused("signature")
        # Nobody signed the empty ones: they may have been added on the way.
        return {name: value for name, value in params.items() if value}

    def _is_alipays(self, text: str, signature: str) -> bool:
        return keys.is_signed(self._alipay_public_key, text.encode(), signature)


def _top_level(text: str) -> dict[str, tuple[str, Any]]:
    """Each member of a JSON object with its raw text beside its value.

    The signature covers the raw text of the inner object; a real JSON scanner finds
    its end where counting braces fails on braces inside strings.
    """
    decoder = json.JSONDecoder()
    parts: dict[str, tuple[str, Any]] = {}
    at = _after(text, 0, "{")
    while True:
        name, at = decoder.raw_decode(text, _skip_space(text, at))
        start = _skip_space(text, _after(text, at, ":"))
        value, at = decoder.raw_decode(text, start)
        if not isinstance(name, str) or name in parts:
            raise ValueError("a member that is no name or comes twice")
        parts[name] = (text[start:at], value)
        at = _skip_space(text, at)
        if text[at : at + 1] != ",":
            break
        at += 1
    if text[_after(text, at, "}") :].strip():
        raise ValueError("text after the object")
    return parts


def _skip_space(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


def _after(text: str, at: int, mark: str) -> int:
    at = _skip_space(text, at)
    if text[at : at + 1] != mark:
        raise ValueError(f"no {mark}")
    return at + 1
