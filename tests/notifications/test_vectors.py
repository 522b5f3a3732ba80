"""The recorded calls, answers and reports of both SMS providers, replayed."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from kameng import tencent_cloud
from notifications.sms import aliyun, reports, tencent, wire
from tests.payments.protocol_vectors import load

VECTORS = load("sms")

pytestmark = [
    pytest.mark.vectors,
    pytest.mark.skipif(
        "aliyun" not in VECTORS, reason="this set of vectors has no sms.json"
    ),
]

MODULES = {"aliyun": aliyun, "tencent": tencent}


def cases(part: str) -> list[Any]:
    return [
        pytest.param(provider, case, id=f"sms-{provider}-{case['id']}")
        for provider in MODULES
        for case in VECTORS.get(provider, {}).get(part, [])
    ]


def test_sms_aliyun_signature_equals_the_recorded_one():
    recorded = VECTORS["aliyun"]["request"]
    headers = {name.lower(): value for name, value in recorded["headers"].items()}
    signed = headers["authorization"].split("SignedHeaders=")[1].split(",")[0]
    params = parse_qsl(urlsplit(recorded["path"]).query, keep_blank_values=True)
    assert headers["authorization"] == aliyun.authorization(
        VECTORS["aliyun"]["access_key_id"],
        VECTORS["aliyun"]["access_key_secret"],
        query=aliyun.canonical_query(dict(params)),
        headers={name: headers[name] for name in signed.split(";")},
        body=recorded["body"].encode(),
    )


def test_sms_tencent_signature_equals_the_recorded_one():
    recorded = VECTORS["tencent"]["request"]
    headers = {name.lower(): value for name, value in recorded["headers"].items()}
    assert headers["authorization"] == tencent_cloud.authorization(
        VECTORS["tencent"]["secret_id"],
        VECTORS["tencent"]["secret_key"],
        service="sms",
        host=headers["host"],
        content_type=headers["content-type"],
        body=recorded["body"].encode(),
        timestamp=int(headers["x-tc-timestamp"]),
    )


@pytest.mark.parametrize(("provider", "case"), cases("responses"))
def test_it_reads_the_answer(provider: str, case: dict[str, Any]):
    answer = wire.answer(case["status"], case["body"].encode())
    assert MODULES[provider].outcome(answer).result == case["expect"]


@pytest.mark.django_db
@pytest.mark.parametrize(("provider", "case"), cases("report"))
def test_it_answers_the_report_in_the_providers_words(
    client: Client, provider: str, case: dict[str, Any]
):
    url = reverse("sms-report", args=[provider, reports.secret(provider)])
    response = client.post(url, case["body"], content_type="application/json")
    assert response.status_code == 200
    assert response.json() == case["reply"]
