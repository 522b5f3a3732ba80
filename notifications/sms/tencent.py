"""Tencent Cloud SMS (腾讯云短信), SendSms 2021-01-11, signed with TC3-HMAC-SHA256."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from kameng import tencent_cloud
from notifications.sms import wire
from notifications.sms.contract import Delivery, Result, SendResult, Sms
from notifications.sms.templates import Templates

REPORT_REPLY = {"result": 0, "errmsg": "OK"}

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
        headers = tencent_cloud.headers(
            self.secret_id,
            self.secret_key,
            service="sms",
            action="SendSms",
            version="2021-01-11",
            region=REGION,
            host=wire.host_of(url),
            body=body,
            now=now,
        )
        return outcome(wire.post(f"{url}/", headers=headers, body=body))


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
