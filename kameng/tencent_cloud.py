"""Calls of Tencent Cloud's API 3.0: what every product of it asks of a request.

A product has its service word (``sms``, ``faceid``), and each of its actions a version.
Signed with TC3-HMAC-SHA256 over the body, the content type and the host.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime

CONTENT_TYPE = "application/json"


def headers(
    secret_id: str,
    secret_key: str,
    *,
    service: str,
    action: str,
    version: str,
    region: str = "",
    host: str,
    body: bytes,
    now: datetime,
) -> dict[str, str]:
    """The headers of a POST to ``/``.

    host    as the request will carry it, with a port where there is one
    region  for the products that ask for one
    """
    timestamp = int(now.timestamp())
    found = {
        "Content-Type": CONTENT_TYPE,
        "Host": host,
        "X-TC-Action": action,
        "X-TC-Version": version,
        "X-TC-Timestamp": str(timestamp),
        "Authorization": authorization(
            secret_id,
            secret_key,
            service=service,
            host=host,
            content_type=CONTENT_TYPE,
            body=body,
            timestamp=timestamp,
        ),
    }
    return found | ({"X-TC-Region": region} if region else {})


def authorization(
    secret_id: str,
    secret_key: str,
    *,
    service: str,
    host: str,
    content_type: str,
    body: bytes,
    timestamp: int,
) -> str:
    """The Authorization header of a POST to ``/``."""
    day = datetime.fromtimestamp(timestamp, UTC).date().isoformat()
    scope = f"{day}/{service}/tc3_request"
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


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
