"""Aliyun Dysms (阿里云短信), SendSms 2017-05-25, signed with ACS3-HMAC-SHA256."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from notifications.sms import wire
from notifications.sms.contract import Delivery, Result, SendResult, Sms
from notifications.sms.templates import Templates

REPORT_REPLY = {"code": 0, "msg": "接收成功"}

_RATE_LIMITED = {
    "isv.BUSINESS_LIMIT_CONTROL",
    "isv.DAY_LIMIT_CONTROL",
    "isv.MONTH_LIMIT_CONTROL",
}
_BAD_NUMBER = {"isv.MOBILE_NUMBER_ILLEGAL"}
_THEIR_TROUBLE = (
    "isp.SYSTEM_ERROR",
    "Throttling",
    "ServiceUnavailable",
    "InternalError",
)


@dataclass(frozen=True, slots=True)
class Aliyun:
    endpoint: str
    access_key_id: str
    access_key_secret: str
    sign_name: str
    templates: Templates

    def send(self, sms: Sms, *, now: datetime) -> SendResult:
        template_id, words = self.templates.fill(sms.kind, sms.words)
        query = canonical_query(
            {
                "PhoneNumbers": sms.to.removeprefix("+86"),
                "SignName": self.sign_name,
                "TemplateCode": template_id,
                "TemplateParam": json.dumps(words, ensure_ascii=False),
                "OutId": sms.message_id,
            }
        )
        url = wire.base_url(self.endpoint)
        headers = {
            "host": wire.host_of(url),
            "x-acs-action": "SendSms",
            "x-acs-version": "2017-05-25",
            "x-acs-date": f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "x-acs-signature-nonce": secrets.token_hex(16),
            "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
        }
        headers["authorization"] = authorization(
            self.access_key_id, self.access_key_secret, query=query, headers=headers
        )
        return outcome(wire.post(f"{url}/?{query}", headers=headers))


def canonical_query(params: Mapping[str, str]) -> str:
    """Names sorted, everything but letters, digits and ``-_.~`` percent-encoded."""
    return "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}"
        for name, value in sorted(params.items())
    )


def authorization(
    access_key_id: str,
    access_key_secret: str,
    *,
    query: str,
    headers: Mapping[str, str],
    body: bytes = b"",
) -> str:
    """The Authorization header of a POST to ``/`` that signs all of ``headers``.

    query    as ``canonical_query`` writes it
    headers  names in lower case
    """
    names = sorted(headers)
    signed_headers = ";".join(names)
    canonical = (
        f"POST\n/\n{query}\n"
        + "".join(f"{name}:{headers[name].strip()}\n" for name in names)
        + f"\n{signed_headers}\n{hashlib.sha256(body).hexdigest()}"
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    signature = hmac.digest(
        access_key_secret.encode(), f"ACS3-HMAC-SHA256\n{digest}".encode(), "sha256"
    ).hex()
    return (
        f"ACS3-HMAC-SHA256 Credential={access_key_id},"
        f"SignedHeaders={signed_headers},Signature={signature}"
    )


def outcome(answer: wire.Answer) -> SendResult:
    """Read the answer: business errors come with HTTP 200, so ``Code`` decides."""
    if "Code" not in answer.data:
        return wire.unreadable(answer.status)
    code = str(answer.data["Code"])
    if code == "OK":
        return SendResult(
            Result.SENT, provider_id=str(answer.data.get("BizId", "")), code=code
        )
    if code in _RATE_LIMITED:
        return SendResult(Result.RATE_LIMITED, code=code)
    if code in _BAD_NUMBER:
        return SendResult(Result.BAD_NUMBER, code=code)
    if code.startswith(_THEIR_TROUBLE):
        return SendResult(Result.RETRY_OTHER_PROVIDER, code=code)
    return SendResult(Result.OPERATOR_ALARM, code=code)


def deliveries(report: list[Mapping[str, object]]) -> list[Delivery]:
    return [
        Delivery(
            provider_id=str(line.get("biz_id", "")),
            delivered=line.get("success") is True,
            code=str(line.get("err_code", "")),
        )
        for line in report
    ]
