"""Tencent Cloud's API 3.0: its signature, and the frame of its answers."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.http import HttpRequest

from sandbox.cloud_signatures import Refused, check_age, same_hex
from sandbox.world import world

Json = dict[str, Any]


def answer(content: Json) -> tuple[int, Json]:
    return 200, {"Response": {**content, "RequestId": secrets.token_hex(16)}}


def refusal(code: str, status: int) -> tuple[int, Json]:
    error = {"Code": code, "Message": code}
    return status, {"Response": {"Error": error, "RequestId": secrets.token_hex(16)}}


def check_signature(request: HttpRequest, service: str) -> None:
    """TC3-HMAC-SHA256 for one product, with the keys that the shop was given."""
    keys = world().keys
    wrong = partial(Refused, "AuthFailure.SignatureFailure")
    found = re.fullmatch(
        r"TC3-HMAC-SHA256 Credential=([^/]+)/(\d{4}-\d\d-\d\d)/([a-z]+)/tc3_request,"
        r" ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})",
        request.headers.get("Authorization", ""),
    )
    timestamp = request.headers.get("X-TC-Timestamp", "")
    if found is None or not timestamp.isdigit():
        raise wrong("Authorization")
    secret_id, date, product, names, signature = found.groups()
    if product != service:
        raise wrong("service")
    if secret_id != keys.tencent_secret_id:
        raise Refused("AuthFailure.SecretIdNotFound", "SecretId")
    check_age("tencent", int(timestamp), "InternalError.RequestTimeException")
    if not {"content-type", "host"} <= set(names.split(";")):
        raise wrong("SignedHeaders")
    if datetime.fromtimestamp(int(timestamp), UTC).strftime("%Y-%m-%d") != date:
        raise wrong("date")
    canonical = "\n".join(
        (
            "POST",
            "/",
            "",
            *(
                f"{name}:{request.headers[name].strip().lower()}"
                for name in names.split(";")
            ),
            "",
            names,
            hashlib.sha256(request.body).hexdigest(),
        )
    )
    scope = f"{date}/{service}/tc3_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"TC3{keys.tencent_secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}"
    if not same_hex(key, text, signature):
        raise wrong("Signature")
