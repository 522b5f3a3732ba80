"""The sandbox as a push service: takes envelopes, reads none."""

from __future__ import annotations

import pytest

from tests.sandbox.merchant import HTTP
from tests.sandbox_process import Sandbox

HEADERS = {
    "TTL": "60",
    "Topic": "expiring",
    "Content-Encoding": "aes128gcm",
    "Authorization": "vapid t=a.b.c, k=d",
}


@pytest.mark.parametrize(
    ("name", "change", "size", "status"),
    [
        ("one", {}, 100, 201),
        ("410-one", {}, 100, 410),
        ("one", {"TTL": ""}, 100, 400),
        ("one", {"Content-Encoding": "aesgcm"}, 100, 415),
        ("one", {"Authorization": "Bearer x"}, 100, 401),
        ("one", {}, 4097, 413),
    ],
)
def test_it_answers_like_a_push_service(
    sandbox: Sandbox, name: str, change: dict[str, str], size: int, status: int
) -> None:
    url = f"{sandbox.environment['PUSH_SANDBOX_URL']}/{name}/"
    answer = HTTP.post(url, headers=HEADERS | change, content=b"x" * size)
    assert answer.status_code == status
    page = HTTP.get(f"{sandbox.environment['PUSH_SANDBOX_URL']}/").text
    assert f"{status} · expiring" in page
