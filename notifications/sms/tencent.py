"""Tencent Cloud SMS (腾讯云短信), SendSms 2021-01-11, signed with TC3-HMAC-SHA256."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from notifications.sms import wire
from notifications.sms.contract import Delivery, Result, SendResult, Sms
from notifications.sms.templates import Templates

REPORT_REPLY = {"result": 0, "errmsg": "OK"}

CONTENT_TYPE = "application/json"
REGION = "ap-guangzhou"

_BAD_NUMBER = {
    "InvalidParameterValue.IncorrectPhoneNumber",
    "FailedOperation.PhoneNumberInBlacklist",
}
# Not this number's limit but the account's, or our own clock and keys.
_ALARMS = {
    "LimitExceeded.AppDailyLimit",
    "InternalError.RequestTimeException",
    "InternalError.SigVerificationFail",
}
_THEIR_TROUBLE = ("InternalError", "RequestLimitExceeded", "ResourceUnavailable")


@dataclass(frozen=True, slots=True)
class Tencent:
    endpoint: str
    secret_id: str
    secret_key: str
    sdk_app_id: str
    sign_name: str
    templates: Templates

    def send(self, sms: Sms, *, now: datetime) -> SendResult:
        template_id, words = self.templates.fill(sms.kind, sms.words)
        body = json.dumps(
            {
                "PhoneNumberSet": [sms.to],
                "SmsSdkAppId": self.sdk_app_id,
                "TemplateId": template_id,
                "SignName": self.sign_name,
                "TemplateParamSet": list(words.values()),
                "SessionContext": sms.message_id,
            }
        ).encode()
        url = wire.base_url(self.endpoint)
        timestamp = int(now.timestamp())
        headers = {
            "Content-Type": CONTENT_TYPE,
            "Host": wire.host_of(url),
            "X-TC-Action": "SendSms",
            "X-TC-Version": "2021-01-11",
            "X-TC-Region": REGION,
            "X-TC-Timestamp": str(timestamp),
        }
        headers["Authorization"] = authorization(
            self.secret_id,
            self.secret_key,
            host=headers["Host"],
            content_type=CONTENT_TYPE,
            body=body,
            timestamp=timestamp,
        )
        return outcome(wire.post(f"{url}/", headers=headers, body=body))


def authorization(
    secret_id: str,
    secret_key: str,
    *,
    host: str,
    content_type: str,
    body: bytes,
    timestamp: int,
) -> str:
    """The Authorization header of a POST to ``/`` of the service ``sms``."""
    day = datetime.fromtimestamp(timestamp, UTC).date().isoformat()
    scope = f"{day}/sms/tc3_request"
    signed_headers = "content-type;host"
    canonical = (
        f"POST\n/\n\ncontent-type:{content_type}\nhost:{host}\n\n{signed_headers}\n"
        f"{hashlib.sha256(body).hexdigest()}"
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}"
    key = f"TC3{secret_key}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    signature = _hmac(key, to_sign).hex()
    return (
        f"TC3-HMAC-SHA256 Credential={secret_id}/{scope}, "
        f"SignedHeaders={signed_headers}, Signature={signature}"
    )


def outcome(answer: wire.Answer) -> SendResult:
    """Read the answer to a call with one number; HTTP 200 says nothing by itself."""
    response = answer.data.get("Response")
    if not isinstance(response, dict):
        return wire.unreadable(answer.status)
    error = response.get("Error")
    if isinstance(error, dict):
        return _by_code(str(error.get("Code")), "")
    statuses = response.get("SendStatusSet")
    if not isinstance(statuses, list) or len(statuses) != 1:
        return wire.unreadable(answer.status)
    return _by_code(str(statuses[0].get("Code")), str(statuses[0].get("SerialNo")))


def deliveries(report: list[Mapping[str, object]]) -> list[Delivery]:
    return [
        Delivery(
            provider_id=str(line.get("sid", "")),
            delivered=line.get("report_status") == "SUCCESS",
            code=str(line.get("errmsg", "")),
        )
        for line in report
    ]


def _by_code(code: str, serial_no: str) -> SendResult:
    if code == "Ok":
        return SendResult(Result.SENT, provider_id=serial_no, code=code)
    if code in _BAD_NUMBER:
        return SendResult(Result.BAD_NUMBER, code=code)
    if code in _ALARMS:
        return SendResult(Result.OPERATOR_ALARM, code=code)
    if code.startswith("LimitExceeded."):
        return SendResult(Result.RATE_LIMITED, code=code)
    if code.startswith(_THEIR_TROUBLE):
        return SendResult(Result.RETRY_OTHER_PROVIDER, code=code)
    return SendResult(Result.OPERATOR_ALARM, code=code)


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
