"""The sandbox's SMS inbox: a plain JSON call, for demo and tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from notifications.sms import wire
from notifications.sms.contract import Result, SendResult, Sms


@dataclass(frozen=True, slots=True)
class Sandbox:
    url: str

    def send(self, sms: Sms, *, now: datetime) -> SendResult:
        body = {"to": sms.to, "kind": sms.kind, "text": sms.text, "id": sms.message_id}
        answer = wire.post(
            self.url,
            headers={"Content-Type": "application/json"},
            body=json.dumps(body, ensure_ascii=False).encode(),
        )
        return outcome(answer)


def outcome(answer: wire.Answer) -> SendResult:
    """``{"id"}`` is a yes, ``{"error"}`` a no; a bare 5xx may have been either."""
    code = str(answer.data.get("error", f"HTTP {answer.status}"))
    match answer.status:
        case 200 if "id" in answer.data:
            return SendResult(Result.SENT, str(answer.data["id"]), code)
        case 429:
            return SendResult(Result.RATE_LIMITED, code=code)
        case 422:
            return SendResult(Result.BAD_NUMBER, code=code)
        case status if 400 <= status < 500:
            return SendResult(Result.OPERATOR_ALARM, code=code)
        case status if status >= 500 and "error" in answer.data:
            return SendResult(Result.RETRY_OTHER_PROVIDER, code=code)
    return wire.unreadable(answer.status)
