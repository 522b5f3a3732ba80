"""Which gateways are on, what keys they take, and what keeps production from starting.

security 34 and 70: a gateway without keys is off, one with broken or foreign keys stops
the start, and nothing that is said about a key repeats any of it.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.test import Client, override_settings
from hypothesis import given
from hypothesis import strategies as st

from kameng.devices import Device
from payments import channels, gateways
from payments.gateways import beijing, keys, yuan
from tests.payments.epay.far_epay import FarEpay
from tests.payments.far_side import (
    FarAlipay,
    FarWechat,
    certificate,
    key,
    private_line,
    public_line,
)
from tests.payments.far_unionpay import (
    PASSWORD,
    FarUnionPay,
    leaf,
    merchant,
    middle,
    pem,
    pfx,
    root,
)

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime.now(UTC)
BOTH = FarAlipay.settings() | FarWechat.settings() | FarUnionPay.settings()
NONE = dict.fromkeys(BOTH, "")
EPAY = FarEpay.settings("https://pay.test")

# --- The registry --------------------------------------------------------------------


def on(**changes: str) -> list[str]:
    with override_settings(**BOTH | changes):
        return [gateway.code for gateway in gateways.available()]


def told(**changes: str) -> list[str]:
    with override_settings(**BOTH | changes):
        return gateways.problems(now=NOW)


def test_complete_keys_switch_a_gateway_on() -> None:
    assert on() == ["wechat", "alipay", "unionpay"]
    assert told() == []


def test_a_gateway_without_any_key_is_off_and_no_problem() -> None:
    assert on(**NONE) == []
    assert told(**NONE) == []
    assert on(**dict.fromkeys(FarAlipay.settings(), "")) == ["wechat", "unionpay"]


def test_a_gateway_that_does_not_exist_is_none() -> None:
    for code in ("", "manual", "ALIPAY", "alipay.gateway", "__class__"):
        assert gateways.get(code) is None


REQUIRED = {
    "alipay": [*FarAlipay.settings()],
    "wechat": [
        name for name in FarWechat.settings() if name != "WECHAT_PAY_PLATFORM_CERTS"
    ],
    "unionpay": [*FarUnionPay.settings()],
}


@pytest.mark.parametrize(
    ("code", "name"),
    [(code, name) for code, names in REQUIRED.items() for name in names],
)
def test_one_missing_setting_switches_it_off_and_is_named(code: str, name: str) -> None:
    assert code not in on(**{name: ""})
    assert told(**{name: ""}) == [f"{name}: is missing"]


BROKEN = [
    ("ALIPAY_GATEWAY_URL", "ftp://alipay.test"),
    ("ALIPAY_GATEWAY_URL", "https://user:secret-canary@alipay.test/gateway.do"),
    ("ALIPAY_GATEWAY_URL", "https://alipay.test:port/"),
    ("ALIPAY_APP_PRIVATE_KEY", "secret-canary"),
    ("ALIPAY_APP_PRIVATE_KEY", public_line("merchant")),
    ("ALIPAY_PUBLIC_KEY", "secret-canary"),
    ("ALIPAY_PUBLIC_KEY", private_line("merchant")),
    ("WECHAT_PAY_BASE_URL", "wechat.test"),
    ("WECHAT_PAY_PRIVATE_KEY", "-----BEGIN PRIVATE KEY-----secret-canary"),
    ("WECHAT_PAY_API_V3_KEY", "secret-canary"),
    ("WECHAT_PAY_API_V3_KEY", "密" * 32),
    ("WECHAT_PAY_PUBLIC_KEY", "c2VjcmV0LWNhbmFyeQ=="),
    ("WECHAT_PAY_PLATFORM_CERTS", "secret-canary"),
    ("WECHAT_PAY_PLATFORM_CERTS", public_line("platform")),
    ("UNIONPAY_GATEWAY_URL", "gateway.95516.com"),
    ("UNIONPAY_SIGN_CERT", "secret-canary"),
    ("UNIONPAY_SIGN_CERT", pfx("another password")),
    ("UNIONPAY_SIGN_CERT", private_line("merchant")),
    ("UNIONPAY_SIGN_PASSWORD", "secret-canary"),
    ("UNIONPAY_ROOT_CERT", "secret-canary"),
    ("UNIONPAY_ROOT_CERT", root() + middle()),
    ("UNIONPAY_MIDDLE_CERT", public_line("up-middle")),
    ("UNIONPAY_MIDDLE_CERT", leaf()),
]


@pytest.mark.parametrize(("name", "value"), BROKEN)
def test_a_broken_setting_is_named_and_never_quoted(name: str, value: str) -> None:
    [line] = told(**{name: value})
    # A password alone is never wrong: it is the file that it does not open.
    assert line.startswith(f"{name.replace('PASSWORD', 'CERT')}: ")
    assert "canary" not in line
    assert value not in line
    assert name.partition("_")[0].lower() not in on(**{name: value})


@pytest.mark.parametrize(
    ("left_out", "missing"),
    [
        (
            ("PUBLIC_KEY_ID", "PUBLIC_KEY", "PLATFORM_CERTS"),
            {"PUBLIC_KEY_ID", "PUBLIC_KEY"},
        ),
        (("PUBLIC_KEY_ID",), {"PUBLIC_KEY_ID"}),
        (("PUBLIC_KEY",), {"PUBLIC_KEY"}),
        (("PUBLIC_KEY_ID", "PUBLIC_KEY"), set()),
        (("PLATFORM_CERTS",), set()),
    ],
)
def test_wechat_wants_its_public_key_or_its_certificates(
    left_out: tuple[str, ...], missing: set[str]
) -> None:
    changes = {f"WECHAT_PAY_{name}": "" for name in left_out}
    assert set(told(**changes)) == {
        f"WECHAT_PAY_{name}: is missing" for name in missing
    }
    assert ("wechat" in on(**changes)) == (not missing)


@pytest.mark.parametrize(
    ("days", "words"), [(3, "expires on"), (29, "expires on"), (-1, "expired on")]
)
def test_an_ageing_certificate_is_told_and_stops_nothing(days: int, words: str) -> None:
    bundle = certificate("platform", days=days)
    [line] = told(WECHAT_PAY_PLATFORM_CERTS=bundle)
    assert line.startswith("WECHAT_PAY_PLATFORM_CERTS: 5157F09E")
    assert words in line
    assert "wechat" in on(WECHAT_PAY_PLATFORM_CERTS=bundle)


def test_a_certificate_of_tomorrow_is_told() -> None:
    with override_settings(**FarWechat.settings()):
        long_ago = NOW - timedelta(days=500)
        [line] = gateways.problems(now=long_ago)
    assert "is not valid before" in line


@pytest.mark.parametrize(
    ("name", "made"), [("UNIONPAY_ROOT_CERT", root), ("UNIONPAY_MIDDLE_CERT", middle)]
)
@pytest.mark.parametrize(
    ("days", "words"), [(3, "expires on"), (-1, "expired on"), (60, "")]
)
def test_an_ageing_chain_of_unionpays_is_told_and_stops_nothing(
    name: str, made: Callable[..., str], days: int, words: str
) -> None:
    lines = told(**{name: made(last=days)})
    assert [line.partition(": ")[0] for line in lines] == ([name] if words else [])
    assert all(words in line for line in lines)
    assert "unionpay" in on(**{name: made(last=days)})


def test_our_own_ageing_certificate_is_told() -> None:
    with override_settings(**FarUnionPay.settings()):
        lines = gateways.problems(now=NOW + timedelta(days=350))
    names = {line.partition(":")[0] for line in lines}
    assert names == {"UNIONPAY_SIGN_CERT", "UNIONPAY_ROOT_CERT", "UNIONPAY_MIDDLE_CERT"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "changes", [NONE, {"ALIPAY_PUBLIC_KEY": ""}, {"ALIPAY_PUBLIC_KEY": "broken"}]
)
def test_a_gateway_that_is_off_hears_nothing_and_is_not_offered(
    client: Client, changes: dict[str, str]
) -> None:
    """34: also no notice that was signed with a placeholder."""
    number = "7ZQ2M4XK9B3CN5T8V1W6Y0HJAD"
    notice = FarAlipay.notice(FarAlipay.paid(number))
    with override_settings(**BOTH | changes):
        answer = client.generic("POST", "/payments/alipay/notify/", notice)
        offered = [offer.code for offer in channels.offers(Device.PHONE)]
    assert answer.status_code == 404
    assert "alipay" not in offered


@pytest.mark.django_db
@pytest.mark.parametrize("gateway", ["epay", "manual", "ALIPAY", "x-1"])
def test_no_other_gateway_has_a_notify_address(client: Client, gateway: str) -> None:
    for method in ("GET", "POST"):
        url = f"/payments/{gateway}/notify/"
        assert client.generic(method, url).status_code == 404


# --- Keys ----------------------------------------------------------------------------

MERCHANT = key("merchant")


def private_texts() -> dict[str, str]:
    texts = {}
    for name, form in (
        ("PKCS#1", serialization.PrivateFormat.TraditionalOpenSSL),
        ("PKCS#8", serialization.PrivateFormat.PKCS8),
    ):
        pem, der = (
            MERCHANT.private_bytes(encoding, form, serialization.NoEncryption())
            for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER)
        )
        texts[f"{name} PEM"] = pem.decode()
        texts[f"{name} line"] = base64.b64encode(der).decode()
    text = texts["PKCS#8 PEM"]
    return texts | {
        "PEM of Windows": text.replace("\n", "\r\n"),
        "PEM on one line": text.strip().replace("\n", "\\n"),
        "PEM without breaks": text.replace("\n", ""),
        "PEM with blanks around": f"\n  {text}  \n",
        "line in pieces": "\n".join(texts["PKCS#1 line"].partition("M")),
    }


@pytest.mark.parametrize("form", private_texts())
def test_it_reads_a_private_key_in_the_forms_that_consoles_hand_out(form: str) -> None:
    assert keys.load_private_key(private_texts()[form]).private_numbers() == (
        MERCHANT.private_numbers()
    )


def public_texts() -> dict[str, str]:
    public = MERCHANT.public_key()
    texts = {}
    for name, form in (
        ("X.509", serialization.PublicFormat.SubjectPublicKeyInfo),
        ("PKCS#1", serialization.PublicFormat.PKCS1),
    ):
        pem, der = (
            public.public_bytes(encoding, form)
            for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER)
        )
        texts[f"{name} PEM"] = pem.decode()
        texts[f"{name} line"] = base64.b64encode(der).decode()
    return texts


@pytest.mark.parametrize("form", public_texts())
def test_it_reads_a_public_key_in_two_forms(form: str) -> None:
    loaded = keys.load_public_key(public_texts()[form])
    assert loaded.public_numbers() == MERCHANT.public_key().public_numbers()


def small_line() -> str:
    small = rsa.generate_private_key(65_537, 1_024)  # noqa: S505 - refused below
    der = small.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return base64.b64encode(der).decode()


def elliptic_pem() -> str:
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


def locked_pem() -> str:
    return MERCHANT.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    ).decode()


GARBAGE = (
    *(
        "",
        " ",
        "changeme",
        "secret-canary",
        "c2VjcmV0LWNhbmFyeQ==",
        "\0",
        "密钥",
        "====",
    ),
    *("-----BEGIN PRIVATE KEY-----", "-----BEGIN A-----x-----END B-----", "{}", "null"),
    "-----BEGIN PRIVATE KEY-----\nsecret-canary\n-----END PRIVATE KEY-----",
)


@pytest.mark.parametrize(
    "text",
    [*GARBAGE, small_line(), elliptic_pem(), locked_pem(), public_line("merchant")],
    ids=lambda text: text[:20],
)
def test_it_refuses_what_is_no_private_key_and_repeats_none_of_it(text: str) -> None:
    with pytest.raises(keys.BadKey) as caught:
        keys.load_private_key(text)
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(
    "text", [*GARBAGE, private_line("merchant")], ids=lambda text: text[:20]
)
def test_it_refuses_what_is_no_public_key(text: str) -> None:
    with pytest.raises(keys.BadKey) as caught:
        keys.load_public_key(text)
    assert "canary" not in str(caught.value)
    with pytest.raises(keys.BadKey):
        keys.load_certificates(text)


def test_it_says_that_a_key_is_too_short() -> None:
    with pytest.raises(keys.BadKey, match="has 1024 bits, fewer than 2048"):
        keys.load_private_key(small_line())


def test_it_reads_a_bundle_of_certificates_and_no_torn_one() -> None:
    bundle = certificate("platform") + certificate("wechat")
    assert len(keys.load_certificates(bundle)) == 2
    assert len(keys.load_certificates(bundle.replace("\n", "\\n"))) == 2
    with pytest.raises(keys.BadKey):
        keys.load_certificates(bundle[:-400])


@given(st.text() | st.binary().map(lambda raw: base64.b64encode(raw).decode()))
def test_no_text_makes_it_stumble(text: str) -> None:
    for load in (keys.load_private_key, keys.load_public_key, keys.load_certificates):
        with pytest.raises(keys.BadKey):
            load(text)


@given(st.text() | st.binary().map(lambda raw: base64.b64encode(raw).decode()))
def test_no_text_is_a_signature_by_chance(text: str) -> None:
    assert not keys.is_signed(MERCHANT.public_key(), b"content", text)


def test_a_signature_holds_for_its_content_alone() -> None:
    public = MERCHANT.public_key()
    sign = keys.sign(MERCHANT, b"content")
    assert keys.is_signed(public, b"content", sign)
    assert not keys.is_signed(public, b"contenu", sign)
    assert not keys.is_signed(key("alipay").public_key(), b"content", sign)
    for spelt in (
        f"{sign}\n",
        f" {sign}",
        sign.rstrip("="),
        sign.replace("+", " ") + "!",
    ):
        assert not keys.is_signed(public, b"content", spelt)


def identities() -> dict[str, tuple[str, str]]:
    """A key with its certificate in each form, and the password."""
    certificate = pem(merchant())
    plain = private_texts()["PKCS#8 PEM"]
    locked = MERCHANT.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSWORD.encode()),
    ).decode()
    return {
        "PKCS#12": (pfx(), PASSWORD),
        "PEM": (plain + certificate, ""),
        "PEM, certificate first": (certificate + plain, ""),
        "PEM that is not locked, with a password": (plain + certificate, PASSWORD),
        "PEM with a password": (locked + certificate, PASSWORD),
        "PEM on one line": ((plain + certificate).replace("\n", "\\n"), ""),
    }


@pytest.mark.parametrize("form", identities())
def test_it_reads_a_key_with_its_certificate(form: str) -> None:
    private, certificate = keys.load_identity(*identities()[form])
    assert private.private_numbers() == MERCHANT.private_numbers()
    assert certificate == merchant()


def test_a_pem_needs_no_password() -> None:
    text, _ = identities()["PEM"]
    changes = {"UNIONPAY_SIGN_CERT": text, "UNIONPAY_SIGN_PASSWORD": ""}
    assert told(**changes) == []
    assert "unionpay" in on(**changes)


@pytest.mark.parametrize(
    ("text", "password"),
    [
        *((text, PASSWORD) for text in GARBAGE),
        (pfx(), ""),
        (pfx(), "canary"),
        (private_texts()["PKCS#8 PEM"], ""),
        (pem(merchant()), ""),
        (private_texts()["PKCS#8 PEM"] + leaf(), ""),  # of another key
        (locked_pem() + pem(merchant()), "canary"),
        (elliptic_pem() + pem(merchant()), ""),
    ],
)
def test_it_refuses_what_is_no_key_with_its_certificate(
    text: str, password: str
) -> None:
    with pytest.raises(keys.BadKey) as caught:
        keys.load_identity(text, password)
    assert "canary" not in str(caught.value)


# --- Yuan and Beijing ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fen"),
    [
        *(("50", 5_000), ("50.0", 5_000), ("50.00", 5_000), ("0", 0), ("0.0", 0)),
        *(("0.01", 1), ("0.1", 10), ("1.5", 150), ("15.99", 1_599)),
        ("9999999999.99", 999_999_999_999),
    ],
)
def test_yuan_are_read_in_three_spellings(text: str, fen: int) -> None:
    assert yuan.parse(text) == fen


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "-1", "+1", "-0", "1.", ".5", "1.000", "01", "00", "00.10", "1,000"),
        *("1 ", " 1", "1\n", "\n1", "1\0", "1e3", "1E3", "1_0", "0x10", "1.5.0", "¥1"),
        *(
            "NaN",
            "nan",
            "inf",
            "Infinity",
            "１",
            "１５.００",
            "٣",
            "1٫5",
            "²",
            "一",
            "1元",
        ),
        *("10000000000", "9" * 5_000, "1.-5", "--1", "1.5e1", "true", "None"),
        *(None, 1, 1.5, True, b"1", ["1"], {"1": 1}),
    ],
    ids=lambda text: repr(text)[:16],
)
def test_nothing_else_is_an_amount(text: object) -> None:
    """36, and the traps of security 1.4."""
    assert yuan.parse(text) is None


@given(st.integers(0, 999_999_999_999))
def test_what_is_written_is_read_again(fen: int) -> None:
    assert yuan.parse(yuan.write(fen)) == fen


def test_a_negative_amount_is_never_written() -> None:
    with pytest.raises(ValueError, match="never negative"):
        yuan.write(-1)


MOMENT = datetime(2026, 11, 22, 2, 0, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "now",
            "2026-11-22 10:00:09Z",
            "2026-13-01 00:00:00",
            "1969-12-31 23:59:59",
        ),
        *("0001-01-01 00:00:00", "9999-12-31 23:59:59", "２０２６-11-22 10:00:09"),
        *(None, 1_700_000_000, True, ["2026-11-22 10:00:09"]),
    ],
    ids=repr,
)
def test_a_moment_that_nobody_could_mean_is_none(text: object) -> None:
    assert beijing.parse_plain(text) is None
    assert beijing.parse_compact(text) is None
    assert beijing.parse_rfc3339(text) in (
        None,
        datetime(2026, 11, 22, 10, 0, 9, tzinfo=UTC),
    )


def test_moments_are_beijings_in_both_spellings() -> None:
    assert beijing.plain(MOMENT) == "2026-11-22 10:00:09"
    assert beijing.rfc3339(MOMENT) == "2026-11-22T10:00:09+08:00"
    assert beijing.compact(MOMENT) == "20261122100009"
    assert beijing.parse_compact("20261122100009") == MOMENT
    assert beijing.parse_compact("20261131000000") is None
    assert beijing.parse_plain("2026-11-22 10:00:09") == MOMENT
    assert beijing.parse_plain("2026-11-22 10:00:09.123") is not None
    assert beijing.parse_rfc3339("2026-11-22T10:00:09+08:00") == MOMENT
    assert beijing.parse_rfc3339("2026-11-22T10:00:09") is None


# --- What stops the start in production -----------------------------------------------

RANDOM = "k7Qz2M4XK9B3CN5T8V1W6Y0HJADpRsLfGhUeOiTbNvEyWxZcMq"
TEMPLATES = (
    '{"code": {"id": "1", "params": ["code"]}, "activated": {"id": "2", "params": []},'
    ' "expiring": {"id": "3", "params": []}, "renewal": {"id": "4", "params": []},'
    ' "refund": {"id": "5", "params": []}}'
)
PRODUCTION = {
    "KAMENG_ENV": "production",
    "SECRET_KEY": RANDOM,
    "DATA_KEYS": RANDOM[::-1],
    "PUBLIC_URL": "https://shop.example",
    "DATABASE_URL": "sqlite:///var/never-made.sqlite3",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "SMS_PROVIDER": "aliyun",
    "ALIYUN_SMS_ACCESS_KEY_ID": "LTAI5t",
    "ALIYUN_SMS_ACCESS_KEY_SECRET": "another-secret-canary",
    "ALIYUN_SMS_SIGN_NAME": "卡盟",
    "ALIYUN_SMS_TEMPLATES": TEMPLATES,
}
ALIPAY = FarAlipay.settings("https://openapi.alipay.com/gateway.do")
WECHAT = FarWechat.settings("https://api.mch.weixin.qq.com")
UNIONPAY = FarUnionPay.settings("https://gateway.95516.com")
FOREIGN = {"cert": certificate("platform", name="SANDBOX WeChat Pay")}
REFUSED: dict[str, tuple[str, dict[str, str]]] = {
    # what is wrong: the variable that is named, and the changes
    "an unknown environment": ("KAMENG_ENV", {"KAMENG_ENV": "prod"}),
    "no secret key": ("SECRET_KEY", {"SECRET_KEY": ""}),
    "a short secret key": ("SECRET_KEY", {"SECRET_KEY": RANDOM[:49]}),
    "a sample secret key": ("SECRET_KEY", {"SECRET_KEY": f"django-insecure-{RANDOM}"}),
    "a monotonous secret key": ("SECRET_KEY", {"SECRET_KEY": "changeme" * 8}),
    "no data key": ("DATA_KEYS", {"DATA_KEYS": ""}),
    "a list of nothing": ("DATA_KEYS", {"DATA_KEYS": " , "}),
    "a short data key": ("DATA_KEYS", {"DATA_KEYS": f"short,{RANDOM}"}),
    "no public address": ("PUBLIC_URL", {"PUBLIC_URL": ""}),
    "an open public address": ("PUBLIC_URL", {"PUBLIC_URL": "http://shop.example"}),
    "a broken public address": ("PUBLIC_URL", {"PUBLIC_URL": "https://["}),
    "a public port that is none": ("PUBLIC_URL", {"PUBLIC_URL": "https://a.example:x"}),
    "no broker": ("REDIS_URL", {"REDIS_URL": ""}),
    "another database": ("DATABASE_URL", {"DATABASE_URL": "mysql://u:canary@h/x"}),
    "a database port that is none": (
        "DATABASE_URL",
        {"DATABASE_URL": "postgresql://u:canary@h:x/x"},
    ),
    "a network that is none": ("TRUSTED_PROXIES", {"TRUSTED_PROXIES": "10.0.0.0/99"}),
    "the sandbox's SMS": ("SMS_PROVIDER", {"SMS_PROVIDER": "sandbox"}),
    "no SMS provider": ("SMS_PROVIDER", {"SMS_PROVIDER": ""}),
    "an unknown SMS provider": ("SMS_PROVIDER", {"SMS_PROVIDER": "pigeon"}),
    "half an SMS provider": ("ALIYUN_SMS_SIGN_NAME", {"ALIYUN_SMS_SIGN_NAME": ""}),
    "SMS templates that are no JSON": (
        "ALIYUN_SMS_TEMPLATES",
        {"ALIYUN_SMS_TEMPLATES": "canary{"},
    ),
    "the sandbox's SMS secret": (
        "ALIYUN_SMS_ACCESS_KEY_ID",
        {"ALIYUN_SMS_ACCESS_KEY_ID": "SANDBOX0011"},
    ),
    "the sandbox's library of names": (
        "REAL_NAME_PROVIDER",
        {"REAL_NAME_PROVIDER": "sandbox"},
    ),
    "an unknown library of names": (
        "REAL_NAME_PROVIDER",
        {"REAL_NAME_PROVIDER": "pigeon"},
    ),
    "half a library of names": (
        "TENCENT_FACEID_SECRET_KEY",
        {"REAL_NAME_PROVIDER": "tencent", "TENCENT_FACEID_SECRET_ID": "AKID"},
    ),
    "the sandbox's key to names": (
        "TENCENT_FACEID_SECRET_ID",
        {"TENCENT_FACEID_SECRET_ID": "SANDBOX0011"},
    ),
    "names over http": (
        "TENCENT_FACEID_URL",
        {"TENCENT_FACEID_URL": "http://faceid.tencentcloudapi.com"},
    ),
    "Alipay over http": (
        "ALIPAY_GATEWAY_URL",
        ALIPAY | {"ALIPAY_GATEWAY_URL": "http://openapi.alipay.com/gateway.do"},
    ),
    "the sandbox's application": (
        "ALIPAY_APP_ID",
        ALIPAY | {"ALIPAY_APP_ID": "SANDBOX2021000000000001"},
    ),
    "the sandbox's seller": (
        "ALIPAY_SELLER_ID",
        ALIPAY | {"ALIPAY_SELLER_ID": "sandbox2088"},
    ),
    "half of Alipay": ("ALIPAY_PUBLIC_KEY", {"ALIPAY_APP_ID": "2021"}),
    "an empty key": (
        "ALIPAY_APP_PRIVATE_KEY",
        ALIPAY | {"ALIPAY_APP_PRIVATE_KEY": " "},
    ),
    "a broken key": (
        "ALIPAY_APP_PRIVATE_KEY",
        ALIPAY | {"ALIPAY_APP_PRIVATE_KEY": "secret-canary"},
    ),
    "the wrong one of two keys": (
        "ALIPAY_PUBLIC_KEY",
        ALIPAY | {"ALIPAY_PUBLIC_KEY": private_line("merchant")},
    ),
    "WeChat over http": (
        "WECHAT_PAY_BASE_URL",
        WECHAT | {"WECHAT_PAY_BASE_URL": "http://127.0.0.1:8001"},
    ),
    "the sandbox's merchant": (
        "WECHAT_PAY_MCH_ID",
        WECHAT | {"WECHAT_PAY_MCH_ID": "SANDBOX1900000001"},
    ),
    "the sandbox's public key": (
        "WECHAT_PAY_PUBLIC_KEY_ID",
        WECHAT | {"WECHAT_PAY_PUBLIC_KEY_ID": "PUB_KEY_ID_SANDBOX0000000000000001"},
    ),
    "the sandbox's certificate": (
        "WECHAT_PAY_PLATFORM_CERTS",
        WECHAT | {"WECHAT_PAY_PLATFORM_CERTS": FOREIGN["cert"]},
    ),
    "UnionPay over http": (
        "UNIONPAY_GATEWAY_URL",
        UNIONPAY | {"UNIONPAY_GATEWAY_URL": "http://gateway.95516.com"},
    ),
    "the sandbox's UnionPay merchant": (
        "UNIONPAY_MER_ID",
        UNIONPAY | {"UNIONPAY_MER_ID": "SANDBOX77729001"},
    ),
    "a merchant of UnionPay's test gateway": (
        "UNIONPAY_MER_ID",
        UNIONPAY | {"UNIONPAY_MER_ID": "777290058110048"},
    ),
    "the sandbox's root certificate": (
        "UNIONPAY_ROOT_CERT",
        UNIONPAY
        | {"UNIONPAY_ROOT_CERT": certificate("up-root", name="SANDBOX UnionPay ROOT")},
    ),
    "half of UnionPay": ("UNIONPAY_ROOT_CERT", {"UNIONPAY_MER_ID": "898110148990001"}),
    "UnionPay's file with another password": (
        "UNIONPAY_SIGN_CERT",
        UNIONPAY | {"UNIONPAY_SIGN_PASSWORD": "another"},
    ),
    "an API v3 key that is too short": (
        "WECHAT_PAY_API_V3_KEY",
        WECHAT | {"WECHAT_PAY_API_V3_KEY": "0123456789abcde-canary"},
    ),
    "a sample of an API v3 key": (
        "WECHAT_PAY_API_V3_KEY",
        WECHAT | {"WECHAT_PAY_API_V3_KEY": "x" * 32},
    ),
    "epay over http": ("EPAY_BASE_URL", EPAY | {"EPAY_BASE_URL": "http://pay.test"}),
    "the sandbox's epay merchant": ("EPAY_PID", EPAY | {"EPAY_PID": "SANDBOX1101"}),
    "half of epay": ("EPAY_BASE_URL", {"EPAY_PID": "1101"}),
    "no epay key": ("EPAY_KEY", EPAY | {"EPAY_KEY": ""}),
    "a sample of an epay key": ("EPAY_KEY", EPAY | {"EPAY_KEY": "canary" * 6}),
    "a file that is not there": (
        "SECRET_KEY_FILE",
        {"SECRET_KEY": "", "SECRET_KEY_FILE": "/nowhere/secret"},
    ),
    "a folder for a file": (
        "WECHAT_PAY_PRIVATE_KEY_FILE",
        WECHAT | {"WECHAT_PAY_PRIVATE_KEY": "", "WECHAT_PAY_PRIVATE_KEY_FILE": "/tmp"},  # noqa: S108
    ),
    "a file that is no text": (
        "ALIPAY_PUBLIC_KEY_FILE",
        ALIPAY | {"ALIPAY_PUBLIC_KEY": "", "ALIPAY_PUBLIC_KEY_FILE": sys.executable},
    ),
}
STARTED: dict[str, dict[str, str]] = {
    "nothing but the shop": {},
    "all but epay": ALIPAY | WECHAT | UNIONPAY,
    "epay": EPAY,
    "WeChat with its public key alone": WECHAT | {"WECHAT_PAY_PLATFORM_CERTS": ""},
    "WeChat with its certificates alone": WECHAT
    | {"WECHAT_PAY_PUBLIC_KEY_ID": "", "WECHAT_PAY_PUBLIC_KEY": ""},
    "a certificate in its last days": WECHAT
    | {"WECHAT_PAY_PLATFORM_CERTS": certificate("platform", days=2)},
}

Started = subprocess.CompletedProcess[str]


def start(changes: dict[str, str], *command: str) -> Started:
    """Start a process in production; without a command just Django."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV")
    }
    django = ("-c", "import django; django.setup()")
    return subprocess.run(
        [sys.executable, *(command or django)],
        cwd=ROOT,
        env=clean
        | {"DJANGO_SETTINGS_MODULE": "kameng.settings", "PYTHONPATH": "."}
        | PRODUCTION
        | changes,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture(scope="module")
def starts() -> Iterator[dict[str, Started]]:
    """Every case once, two at a time."""
    cases = {name: changes for name, (_, changes) in REFUSED.items()} | STARTED
    with ThreadPoolExecutor(2) as pool:
        yield dict(zip(cases, pool.map(start, cases.values()), strict=True))


@pytest.mark.parametrize("case", REFUSED)
def test_production_does_not_start_and_names_the_variable(
    starts: dict[str, Started], case: str
) -> None:
    name, changes = REFUSED[case]
    done = starts[case]
    assert done.returncode == 1
    last_lines = done.stderr[done.stderr.rindex("ImproperlyConfigured") :]
    assert f"{name}: " in last_lines
    assert "canary" not in done.stderr
    for secret in (RANDOM, RANDOM[::-1], private_line("merchant")[40:80]):
        assert secret not in done.stderr
    for given_key, value in changes.items():
        if value.strip() and given_key.endswith("KEY"):
            assert value not in done.stderr


@pytest.mark.parametrize("case", STARTED)
def test_production_starts(starts: dict[str, Started], case: str) -> None:
    """A wholly unconfigured gateway is off; a certificate that ages stops nothing."""
    assert starts[case].returncode == 0, starts[case].stderr


@pytest.mark.parametrize(
    "command",
    [
        ("-c", "import kameng.wsgi"),
        ("-m", "celery", "--app", "kameng", "worker", "--pool", "solo"),
        ("manage.py", "sweep"),
    ],
    ids=["web", "worker", "command"],
)
def test_half_a_gateway_stops_every_kind_of_process(command: tuple[str, ...]) -> None:
    done = start({"WECHAT_PAY_MCH_ID": "1900008888"}, *command)
    assert done.returncode == 1
    assert "WECHAT_PAY_PRIVATE_KEY: is missing" in done.stderr


def test_a_value_may_stand_in_a_file(tmp_path: Path) -> None:
    """The file serves where the variable is empty, as it stands in ``.env.example``."""
    file = tmp_path / "key"
    file.write_text(f"{RANDOM}\n")
    show = ("-c", "from kameng import settings; print(settings.SECRET_KEY)")
    by_file = start({"SECRET_KEY": "", "SECRET_KEY_FILE": str(file)}, *show)
    assert by_file.stdout.strip() == RANDOM
    both = start({"SECRET_KEY_FILE": "/nowhere"}, *show)
    assert both.stdout.strip() == RANDOM
