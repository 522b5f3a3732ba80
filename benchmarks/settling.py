"""Notices of paid orders, four at a time: how long until each is committed.

Every notice is signed beforehand with the sandbox's own key, for an order of another
member who has bought before, and sent over a connection that is open already. Once to a
web worker on a CPU of its own, and once to two workers on the whole machine, as in
production.
"""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from benchmarks import machine, servers
from benchmarks.goals import Figure
from benchmarks.servers import Shop
from benchmarks.services import Services

WARM, MEASURED = 40, 300
AT_A_TIME = 4
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def measure(services: Services, shop: Shop) -> list[Figure]:
    sign = _signer(services)
    _send(shop, _notices(services, shop, sign, WARM))
    notices = _notices(services, shop, sign, MEASURED)
    before = services.statements(shop.name)
    cpu, began = machine.cpu_seconds(shop.pid), time.monotonic()
    seconds = _send(shop, notices)
    wall, cpu = time.monotonic() - began, machine.cpu_seconds(shop.pid) - cpu
    statements = services.statements(shop.name) - before
    with servers.as_in_production(shop) as two:
        _send(two, _notices(services, shop, sign, 2 * WARM))
        shared = _send(two, _notices(services, shop, sign, MEASURED))
    return [
        Figure(
            f"settle a notice, two web workers: p99 of {AT_A_TIME} at a time",
            _p99(shared),
            "ms",
            at_most=50,
            wall_clock=True,
        ),
        Figure("… median", statistics.median(shared) * 1000, "ms"),
        Figure("settle a notice, one worker on one CPU: p99", _p99(seconds), "ms"),
        Figure("… median", statistics.median(seconds) * 1000, "ms"),
        Figure("… rate", MEASURED / wall, "/s", at_least=50, wall_clock=True),
        Figure("settle a notice: CPU", cpu * 1000 / MEASURED, "ms"),
        Figure("settle a notice: statements", statements / MEASURED, at_most=18),
    ]


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)] * 1000


def _notices(
    services: Services, shop: Shop, sign: Callable[[bytes], str], count: int
) -> list[str]:
    """Signed notices for as many new orders, each of another member."""
    orders = json.loads(shop.run("-m", "benchmarks.filling", "orders", str(count)))
    return [_notice(services, sign, *order) for order in orders]


def _signer(services: Services) -> Callable[[bytes], str]:
    """Signs as Alipay, with the key that the sandbox has made."""
    keys = json.loads((services.folder / "sandbox" / "keys.json").read_text())
    key = serialization.load_pem_private_key(keys["alipay_gateway"].encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)

    def sign(content: bytes) -> str:
        signature = key.sign(content, padding.PKCS1v15(), hashes.SHA256())
        return base64.b64encode(signature).decode()

    return sign


def _notice(
    services: Services, sign: Callable[[bytes], str], number: str, fen: int
) -> str:
    beijing = f"{datetime.now(UTC) + timedelta(hours=8):%F %T}"
    fields = {
        "app_id": services.sandbox.environment["ALIPAY_APP_ID"],
        "charset": "utf-8",
        "gmt_payment": beijing,
        "notify_id": secrets.token_hex(17),
        "notify_time": beijing,
        "notify_type": "trade_status_sync",
        "out_trade_no": number,
        "seller_id": services.sandbox.environment["ALIPAY_SELLER_ID"],
        "total_amount": f"{fen / 100:.2f}",
        "trade_no": f"{secrets.randbits(92):028d}",
        "trade_status": "TRADE_SUCCESS",
        "version": "1.0",
    }
    text = "&".join(f"{name}={value}" for name, value in sorted(fields.items()))
    return urlencode({**fields, "sign_type": "RSA2", "sign": sign(text.encode())})


def _send(shop: Shop, notices: list[str]) -> list[float]:
    """Post all of them; the seconds until the shop said ``success`` to each."""
    local = threading.local()

    def post(body: str) -> float:
        if not hasattr(local, "connection"):
            host = urlsplit(shop.url).netloc
            local.connection = http.client.HTTPConnection(host, timeout=30)
            local.connection.connect()
        began = time.perf_counter()
        local.connection.request("POST", "/payments/alipay/notify/", body, FORM)
        answer = local.connection.getresponse()
        if (answer.status, answer.read()) != (200, b"success"):
            raise RuntimeError(f"a notice was answered with {answer.status}")
        return time.perf_counter() - began

    with ThreadPoolExecutor(AT_A_TIME) as threads:
        return list(threads.map(post, notices))
