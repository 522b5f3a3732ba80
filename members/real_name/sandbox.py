"""The sandbox's library of names: a plain JSON call, for demo and tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from members.real_name import wire
from members.real_name.contract import Answer, Result


@dataclass(frozen=True, slots=True)
class Sandbox:
    url: str

    def check(self, name: str, id_number: str, *, now: datetime) -> Answer:
        body = json.dumps({"name": name, "id_number": id_number}).encode()
        headers = {"Content-Type": "application/json"}
        try:
            reply = wire.post(self.url, headers=headers, body=body)
        except wire.NoAnswer as trouble:
            return Answer(Result.BUSY, str(trouble))
        return read(reply)


def read(reply: wire.Reply) -> Answer:
    """``{"result"}`` with status 200 is an answer, anything else is none."""
    code = str(reply.data.get("result", f"HTTP {reply.status}"))[:40]
    match reply.status, code:
        case 200, "match":
            return Answer(Result.MATCH, code)
        case 200, "mismatch":
            return Answer(Result.MISMATCH, code)
        case 200, "not_found":
            return Answer(Result.NOT_FOUND, code)
        case (200, "busy") | (500 | 502 | 503 | 504, _):
            return Answer(Result.BUSY, code)
    return Answer(Result.ALARM, code)
