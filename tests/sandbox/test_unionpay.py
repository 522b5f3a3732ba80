"""The sandbox's UnionPay, asked by a merchant that signs by hand."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from datetime import datetime, timedelta
from urllib.parse import parse_qsl

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from tests.sandbox.merchant import BEIJING, HTTP, NoticeServer, holds, new_number
from tests.sandbox_process import Sandbox, wait_for

Fields = dict[str, str]
BACK = "http://127.0.0.1:9/return/?token=t1"


def moment(**ahead: int) -> str:
    return (datetime.now(BEIJING) + timedelta(**ahead)).strftime("%Y%m%d%H%M%S")


def text_of(fields: Fields) -> bytes:
    joined = "&".join(
        f"{k}={fields[k]}" for k in sorted(fields) if fields[k] and k != "signature"
    )
    return hashlib.sha256(joined.encode()).hexdigest().encode()


class Merchant:
    def __init__(self, sandbox: Sandbox) -> None:
        self.settings = sandbox.environment
        key, certificate, _ = pkcs12.load_key_and_certificates(
            base64.b64decode(self.settings["UNIONPAY_SIGN_CERT"]),
            self.settings["UNIONPAY_SIGN_PASSWORD"].encode(),
        )
        assert isinstance(key, rsa.RSAPrivateKey)
        assert certificate is not None
        self.key, self.cert_id = key, str(certificate.serial_number)

    def signed(self, **fields: str) -> Fields:
        whole = {
            "version": "5.1.0",
            "encoding": "UTF-8",
            "signMethod": "01",
            "certId": self.cert_id,
            "merId": self.settings["UNIONPAY_MER_ID"],
            "accessType": "0",
        } | fields
        sign = self.key.sign(text_of(whole), padding.PKCS1v15(), hashes.SHA256())
        return whole | {"signature": base64.b64encode(sign).decode()}

    def order(self, number: str, **change: str) -> Fields:
        return self.signed(
            **{
                "txnType": "01",
                "txnSubType": "01",
                "bizType": "000201",
                "channelType": "08",
                "orderId": number,
                "txnTime": moment(),
                "txnAmt": "1500",
                "currencyCode": "156",
                "frontUrl": BACK,
                "backUrl": "http://127.0.0.1:9/notify/",
                "payTimeout": moment(minutes=30),
            }
            | change
        )

    def post(self, name: str, fields: Fields) -> httpx.Response:
        url = f"{self.settings['UNIONPAY_GATEWAY_URL']}/gateway/api/{name}.do"
        return HTTP.post(url, data=fields)

    def ask(self, name: str, **fields: str) -> Fields:
        """A verified answer; the nested braces are the last thing it could hold."""
        text = self.post(name, self.signed(**fields)).text
        group = re.search(r"cardTransData=(\{.*\})", text)
        plain = text.replace(group[0] + "&", "") if group else text
        found = dict(pair.split("=", 1) for pair in plain.split("&"))
        if group:
            found["cardTransData"] = group[1]
        return self.verified(found)

    def verified(self, fields: Fields) -> Fields:
        root, middle = (
            x509.load_pem_x509_certificate(self.settings[f"UNIONPAY_{name}"].encode())
            for name in ("ROOT_CERT", "MIDDLE_CERT")
        )
        leaf = x509.load_pem_x509_certificate(fields["signPubKeyCert"].encode())
        middle.verify_directly_issued_by(root)
        leaf.verify_directly_issued_by(middle)
        [name] = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        assert str(name.value).split("@")[2] == "中国银联股份有限公司"
        assert holds(text_of(fields), fields["signature"], leaf.public_key())
        return fields

    def query(self, placed: Fields, **change: str) -> Fields:
        asked = {"txnType": "00", "txnSubType": "00", "bizType": "000000"}
        names = {name: placed[name] for name in ("orderId", "txnTime")}
        return self.ask("queryTrans", **asked | names | change)

    def back(self, kind: str, txn_id: str, number: str, fen: int, **to: str) -> Fields:
        fields = {
            "txnType": kind,
            "txnSubType": "00",
            "bizType": "000201",
            "channelType": "07",
            "orderId": number,
            "txnTime": moment(),
            "txnAmt": str(fen),
            "origQryId": txn_id,
            "backUrl": "http://127.0.0.1:9/notify/",
        }
        return self.ask("backTransReq", **fields | to)


@pytest.fixture
def merchant(sandbox: Sandbox) -> Merchant:
    return Merchant(sandbox)


def test_a_browser_pays_and_is_sent_back_with_a_signed_form(
    merchant: Merchant, sandbox: Sandbox, shop: NoticeServer
) -> None:
    placed = merchant.order(new_number(), backUrl=shop.url)
    assert merchant.query(placed)["respCode"] == "34"
    opened = merchant.post("frontTransReq", placed)
    assert opened.status_code == 302
    cashier = sandbox.url + opened.headers["Location"]
    page = HTTP.get(cashier)
    assert "15.00" in page.text
    paid = HTTP.post(f"{cashier}pay/", data={}, follow_redirects=True)
    wait_for(lambda: shop.received)
    notice = merchant.verified(dict(parse_qsl(shop.received[0].body.decode())))
    assert (notice["respCode"], notice["txnType"]) == ("00", "01")
    assert (notice["orderId"], notice["txnTime"]) == (
        placed["orderId"],
        placed["txnTime"],
    )
    assert (notice["txnAmt"], notice["currencyCode"]) == ("1500", "156")
    path = re.search(r'href="(/unionpay/return/[^"]+)"', paid.text)
    assert path is not None
    back = HTTP.get(sandbox.url + path[1])
    assert f'action="{html.escape(BACK)}"' in back.text
    assert (
        "form-action 'self' http://127.0.0.1:9"
        in (back.headers["Content-Security-Policy"])
    )
    fields = {
        name: html.unescape(value)
        for name, value in re.findall(r'name="([^"]+)" value="([^"]*)"', back.text)
    }
    assert merchant.verified(fields)["queryId"] == notice["queryId"]
    answer = merchant.query(placed)
    assert (answer["origRespCode"], answer["queryId"]) == ("00", notice["queryId"])
    assert answer["cardTransData"].count("{") == 2


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"merId": "898110148990001"}, "31"),
        ({"version": "5.0.0"}, "10"),
        ({"certId": "1"}, "10"),
        ({"txnAmt": "15.00"}, "10"),
        ({"txnTime": "20200101000000"}, "10"),
        ({"orderId": "A-1234567"}, "10"),
        ({"currencyCode": "840"}, "10"),
        ({"channelType": "05"}, "10"),
        ({"frontUrl": "javascript:alert(1)"}, "10"),
        ({"payTimeout": "20200101000000"}, "42"),
    ],
)
def test_it_refuses_a_form_that_is_not_as_it_must_be(
    merchant: Merchant, change: dict[str, str], code: str
) -> None:
    answer = merchant.post("frontTransReq", merchant.order(new_number(), **change))
    assert answer.status_code == 400
    assert f"<code>{code}</code>" in answer.text


def test_it_refuses_what_the_shop_did_not_sign(merchant: Merchant) -> None:
    placed = merchant.order(new_number())
    for bent in (placed | {"txnAmt": "1"}, placed | {"signature": ""}):
        answer = merchant.post("frontTransReq", bent)
        assert answer.status_code == 400
        assert "<code>11</code>" in answer.text


def test_an_order_is_its_number_and_its_moment(
    merchant: Merchant, sandbox: Sandbox
) -> None:
    placed = merchant.order(new_number())
    for _ in range(2):
        assert merchant.post("frontTransReq", placed).status_code == 302
    other = merchant.order(placed["orderId"], txnTime=moment(minutes=-1))
    assert "<code>12</code>" in merchant.post("frontTransReq", other).text
    sandbox.refuse("unionpay", placed["orderId"])
    assert merchant.query(placed)["origRespCode"] == "64"
    assert merchant.query(placed, txnTime=moment(minutes=-1))["respCode"] == "34"


def test_refunds_and_an_undo_take_what_is_left_once(
    merchant: Merchant, sandbox: Sandbox, shop: NoticeServer
) -> None:
    first, second = (merchant.order(new_number()) for _ in range(2))
    txn_ids = []
    for placed in (first, second):
        merchant.post("frontTransReq", placed)
        made = sandbox.pay("unionpay", placed["orderId"], notify="lose")
        txn_ids.append(made["payments"][0]["txn_id"])
    number = new_number()
    assert merchant.back("04", txn_ids[0], number, 500)["respCode"] == "00"
    assert merchant.back("04", txn_ids[0], number, 500)["respCode"] == "12"
    assert merchant.back("04", txn_ids[0], new_number(), 1_001)["respCode"] == "36"
    assert merchant.back("31", txn_ids[0], new_number(), 1_500)["respCode"] == "36"
    undo = new_number()
    answer = merchant.back("31", txn_ids[1], undo, 1_500, backUrl=shop.url)
    assert answer["respCode"] == "00"
    wait_for(lambda: shop.received)
    notice = merchant.verified(dict(parse_qsl(shop.received[0].body.decode())))
    assert (notice["txnType"], notice["orderId"]) == ("31", undo)
    assert notice["origQryId"] == txn_ids[1]
    assert merchant.back("04", "1" * 21, new_number(), 1)["respCode"] == "35"
