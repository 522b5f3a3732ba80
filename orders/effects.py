"""What the outbox does for orders: delivering what waits for a thing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from goods.importing import SERVE
from notifications import outbox
from orders import delivery


@outbox.handler(SERVE)
def serve_queue(payload: dict[str, Any], *, now: datetime) -> None:
    delivery.serve(payload["goods"], now=now)
