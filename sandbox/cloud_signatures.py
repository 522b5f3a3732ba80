"""What the checks of both clouds' signatures have in common."""

from __future__ import annotations

import hashlib
import hmac

from sandbox.world import world

CLOCK_TOLERANCE_SECONDS = {"tencent": 600, "aliyun": 900}


class Refused(Exception):
    """A provider's own error code and text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code, self.message = code, message


def check_age(provider: str, timestamp: int, code: str) -> None:
    if abs(world().now().timestamp() - timestamp) > CLOCK_TOLERANCE_SECONDS[provider]:
        raise Refused(code, "clock")


def same_hex(key: bytes, text: str, signature: str) -> bool:
    wanted = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, signature)
