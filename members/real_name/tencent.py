"""Tencent Cloud FaceID (腾讯云人脸核身), IdCardVerification 2018-03-01.

The library says whether a name and an ID number belong together; no picture is taken.
Its codes stand in the response class of the vendor's SDK; two of them are charged for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from kameng import tencent_cloud
from members.real_name import wire
from members.real_name.contract import Answer, Result

_RESULTS = {
    "0": Result.MATCH,  # charged
    "-1": Result.MISMATCH,  # charged
    "-2": Result.MISMATCH,  # no such number by its form
    "-3": Result.MISMATCH,  # no such name by its form
    "-4": Result.BUSY,  # the library has a fault
    "-5": Result.NOT_FOUND,
    "-6": Result.BUSY,  # the library is being worked on
    "-7": Result.BUSY,  # asked about too often today; another day it may answer
}
_THEIR_TROUBLE = (
    "InternalError",
    "RequestLimitExceeded",
    "ResourceUnavailable",
    "FailedOperation.UnKnown",
)


@dataclass(frozen=True, slots=True)
class Tencent:
    url: str
    secret_id: str
    secret_key: str

    def check(self, name: str, id_number: str, *, now: datetime) -> Answer:
        body = json.dumps({"IdCard": id_number, "Name": name}).encode()
        headers = tencent_cloud.headers(
            self.secret_id,
            self.secret_key,
            service="faceid",
            action="IdCardVerification",
            version="2018-03-01",
            host=urlsplit(self.url).netloc,
            body=body,
            now=now,
        )
        try:
            reply = wire.post(f"{self.url}/", headers=headers, body=body)
        except wire.NoAnswer as trouble:
            return Answer(Result.BUSY, str(trouble))
        return read(reply)


def read(reply: wire.Reply) -> Answer:
    """Read the answer; HTTP 200 says nothing by itself."""
    response = reply.data.get("Response")
    if not isinstance(response, dict):
        return Answer(Result.BUSY, f"HTTP {reply.status}")
    error = response.get("Error")
    if isinstance(error, dict):
        return _of_error(str(error.get("Code"))[:80])
    code = str(response.get("Result"))[:40]
    return Answer(_RESULTS.get(code, Result.ALARM), code)


def _of_error(code: str) -> Answer:
    if code.startswith(_THEIR_TROUBLE):
        return Answer(Result.BUSY, code)
    return Answer(Result.ALARM, code)
