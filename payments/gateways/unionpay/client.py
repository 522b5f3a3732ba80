"""UnionPay 5.1.0 on the wire: what is signed, by whom, and what comes back.

Each message brings the certificate that its signature is to be checked with. So that
not everybody who owns one can speak for UnionPay, the certificate must have been issued
under the root and the middle certificate that we hold, be valid now, and belong to
UnionPay itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from payments.gateways import form, keys, values
from payments.gateways.contract import NoticeRefused, Refused, Unclear
from payments.gateways.wire import Answer, Wire

FRONT = "/gateway/api/frontTransReq.do"
BACK = "/gateway/api/backTransReq.do"
QUERY = "/gateway/api/queryTrans.do"

DONE = {"00", "A6"}  # A6: with a defect that is none of ours
UNDER_WAY = {"03", "04", "05"}
REPEATED = "12"
UNKNOWN_TRANSACTION = "34"

VERSION, SIGN_METHOD, ENCODING = "5.1.0", "01", "UTF-8"
UNIONPAY = "中国银联股份有限公司"
UNIONPAY_ON_TEST = "00040000:SIGN"

READ = frozenset(
    {
        *("version", "encoding", "signMethod", "merId", "orderId", "txnTime"),
        *("txnType", "txnAmt", "currencyCode", "queryId", "traceTime"),
        *("respCode", "respMsg", "origRespCode", "origRespMsg"),
    }
)
"""Every field that means something to the shop."""
_CODE = re.compile(r"[0-9A-Z]{2}", re.ASCII)
_STRONG = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


class Forged(Exception):
    """Not UnionPay's; ``reason`` is a short word as in ``NoticeRefused``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def signed_text(fields: Mapping[str, str]) -> str:
    """Sorted ``name=value`` pairs joined by ``&``, without empty ones and signature."""
    return "&".join(
        f"{name}={fields[name]}"
        for name in sorted(fields)
        if fields[name] and name != "signature"
    )


def digest(fields: Mapping[str, str]) -> bytes:
    """What is signed: the SHA-256 of the text, as lower-case hex."""
    return hashlib.sha256(signed_text(fields).encode()).hexdigest().encode()


def is_refusal(code: str) -> bool:
    """Whether a respCode says no for good: format, business, or the bank.

    The others mean "not now" or "not known", also those that no page lists.
    """
    if not code.isdecimal() or code == REPEATED:
        return False
    return 10 <= int(code) <= 36 or 60 <= int(code) <= 89


@dataclass(frozen=True, slots=True)
class Authority:
    """Who may sign for UnionPay: owners named so, below the two certificates."""

    root: x509.Certificate
    middle: x509.Certificate
    owners: frozenset[str]

    def key_of(self, text: str, *, now: datetime) -> rsa.RSAPublicKey:
        """The key of a certificate that came inside a message.

        raises  Forged
        """
        try:
            leaf = keys.load_certificate(text)
        except keys.BadKey:
            raise Forged("certificate") from None
        try:
            strong = isinstance(leaf.signature_hash_algorithm, _STRONG)
            leaf.verify_directly_issued_by(self.middle)
            self.middle.verify_directly_issued_by(self.root)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            raise Forged("chain") from None
        if not strong:
            raise Forged("algorithm")
        for each in (leaf, self.middle, self.root):
            if not each.not_valid_before_utc <= now <= each.not_valid_after_utc:
                raise Forged("expired")
        if _owner(leaf) not in self.owners:
            raise Forged("owner")
        key = leaf.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        return key


def _owner(certificate: x509.Certificate) -> str:
    """The third part of ``041@number@owner@…``, or a name without parts."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    parts = str(names[0].value).split("@") if len(names) == 1 else []
    if len(parts) == 1:
        return parts[0]
    return parts[2] if len(parts) > 2 else ""


class UnionPayClient:
    """Signs requests with the merchant's key, believes what UnionPay signed."""

    def __init__(
        self,
        *,
        base_url: str,
        mer_id: str,
        key: rsa.RSAPrivateKey,
        certificate: x509.Certificate,
        authority: Authority,
        wire: Wire,
    ) -> None:
        self.mer_id = mer_id
        self.certificate = certificate
        self.authority = authority
        self._base_url = base_url
        self._key = key
        self._wire = wire

    def address(self, path: str) -> str:
        return self._base_url + path

    def request(self, fields: Mapping[str, str]) -> dict[str, str]:
        """All fields of one request, signed; empty ones are left out."""
        whole = {
            "version": VERSION,
            "encoding": ENCODING,
            "signMethod": SIGN_METHOD,
            "certId": str(self.certificate.serial_number),
            "merId": self.mer_id,
            "accessType": "0",
            **{name: value for name, value in fields.items() if value},
        }
        return whole | {"signature": self.sign(whole)}

    def sign(self, fields: Mapping[str, str]) -> str:
        return keys.sign(self._key, digest(fields))

    def call(
        self, path: str, fields: Mapping[str, str], *, now: datetime
    ) -> dict[str, str]:
        """Ask UnionPay and return the fields of its answer to this very question.

        raises  Refused, Unclear
        """
        answer = self._wire.exchange(
            "POST",
            self.address(path),
            headers={"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"},
            content=urlencode(self.request(fields)).encode(),
        )
        found = self.read(answer, now=now)
        asked = {"merId": self.mer_id, **fields}
        if any(
            found.get(name) != asked[name]
            for name in ("merId", "orderId", "txnTime", "txnType")
        ):
            raise Unclear("mismatch")
        code = found.get("respCode", "")
        if code in DONE or code in UNDER_WAY or code == REPEATED:
            return found
        words = values.words(found, "respMsg")
        if not _CODE.fullmatch(code):
            raise Unclear("malformed", words)
        raise (Refused if is_refusal(code) else Unclear)(code, words)

    def read(self, answer: Answer, *, now: datetime) -> dict[str, str]:
        """The fields of an answer, its signature checked.

        raises  Unclear
        """
        if answer.status != 200:
            raise Unclear(f"http-{answer.status}")
        try:
            fields = split(answer.body.decode("utf-8"))
        except ValueError:
            raise Unclear("malformed") from None
        try:
            self._check(fields, now=now)
        except Forged:
            raise Unclear("forged") from None
        return fields

    def read_notice(self, body: bytes, *, now: datetime) -> dict[str, str]:
        """The fields of a notice, once its signature has held.

        raises  NoticeRefused
        """
        fields = form.read(body)
        if _has_moved_borders(fields):
            raise NoticeRefused("ambiguous")
        try:
            self._check(fields, now=now)
        except Forged as error:
            raise NoticeRefused(error.reason) from None
        # Nobody signed the empty ones: they may have been added on the way.
        return {name: value for name, value in fields.items() if value}

    def _check(self, fields: Mapping[str, str], *, now: datetime) -> None:
        signature = fields.get("signature", "")
        if not signature or not fields.get("signPubKeyCert"):
            raise Forged("unsigned")
        frame = {"version": VERSION, "signMethod": SIGN_METHOD, "encoding": ENCODING}
        if any(fields.get(name) != value for name, value in frame.items()):
            raise Forged("algorithm")
        key = self.authority.key_of(fields["signPubKeyCert"], now=now)
        if not keys.is_signed(key, digest(fields), signature):
            raise Forged("signature")


def _has_moved_borders(fields: Mapping[str, str]) -> bool:
    """Whether the signed text could name a field that the form does not, or another.

    The text has no escapes: ``txnAmt=300&respCode=61`` as one value is signed like the
    two fields. Our own pass-back text may look so, the fields that we read may not.
    """
    text = "&" + signed_text(fields)
    return any("&" in fields.get(name, "") for name in READ) or any(
        text.count(f"&{name}=") != bool(fields.get(name))
        for name in READ | fields.keys() - {"signature"}
    )


def split(text: str) -> dict[str, str]:
    """The fields of ``name=value&…`` as answers carry them, never URL-encoded.

    A value may hold a group in braces, in which ``&`` and ``=`` are plain characters.

    raises  ValueError for what can be read in two ways
    """
    fields: dict[str, str] = {}
    for pair in _pairs(text):
        name, mark, value = pair.partition("=")
        if not mark or name in fields or not form.NAME.fullmatch(name):
            raise ValueError("a pair without a name, or one that comes twice")
        fields[name] = value
    return fields


def _pairs(text: str) -> list[str]:
    pairs, start, depth = [], 0, 0
    for at, character in enumerate(text):
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth < 0:
                raise ValueError("a brace that nothing opened")
        elif character == "&" and depth == 0:
            pairs.append(text[start:at])
            start = at + 1
    if depth:
        raise ValueError("a brace that nothing closes")
    return [*pairs, text[start:]]
