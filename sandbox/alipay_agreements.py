"""Alipay's cycle pay: the page to sign on, query, unsign, a later date, debits, notices.

Requests, answers and notices as in Alipay's open platform manual. The application
gateway, where a stop from within the wallet is told, is the ``notify_url`` of the
signing, as ``docs/production.md`` asks for.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from sandbox import rsa
from sandbox.agreements import Agreement, Status
from sandbox.alipay_notices import BUYER, Fields, signing_text
from sandbox.formats import yuan_text
from sandbox.keys import ALIPAY_APP_ID, ALIPAY_CYCLE_SCENE
from sandbox.notices import Letter, Outgoing
from sandbox.times import BEIJING, beijing_text
from sandbox.world import world

PRODUCT = "CYCLE_PAY_AUTH"
PERSONAL_PRODUCT = "CYCLE_PAY_AUTH_P"
CHANNELS = ("ALIPAYAPP", "QRCODE", "QRCODEORSMS")
SHORTEST_DAYS = 7
MOST_FEN = 10_000
NEVER = "2115-02-01 00:00:00"

FORGERIES = ("wrong_signature", "unsigned", "wrong_app", "unknown_agreement")


class Refusal(Exception):
    """A business error; ``sub_code`` is what shops look at."""

    def __init__(self, sub_code: str, message: str) -> None:
        super().__init__(sub_code)
        self.sub_code, self.message = sub_code, message


@dataclass(frozen=True, slots=True)
class Terms:
    """The ``biz_content`` of a signing, checked."""

    number: str
    channel: str
    period_days: int
    single_fen: int
    first_on: date


def ask(content: dict[str, Any], parameters: Fields, now: datetime) -> Agreement:
    """The page of one agreement-to-be; the same terms again lead to the same one."""
    terms = _terms(content, now)
    known = world().agreements.get(terms.number)
    if known is not None:
        same = (known.period_days, known.single_fen, known.next_on)
        if known.status not in (Status.ASKED, Status.REFUSED):
            raise Refusal("REPEAT_EXTERNAL_AGREEMENT_NO", "商户签约号已使用")
        if same != (terms.period_days, terms.single_fen, terms.first_on):
            raise Refusal("INVALID_PARAMETER", "商户签约号重复而内容不同")
        return known
    agreement = Agreement(
        number=terms.number,
        scene=ALIPAY_CYCLE_SCENE,
        channel=terms.channel,
        period_days=terms.period_days,
        single_fen=terms.single_fen,
        next_on=terms.first_on,
        notify_url=parameters.get("notify_url", ""),
        return_url=parameters.get("return_url", ""),
        asked_at=now,
    )
    world().agreements.save(agreement)
    return agreement


def _terms(content: dict[str, Any], now: datetime) -> Terms:
    rule, access = content.get("period_rule_params"), content.get("access_params")
    number = content.get("external_agreement_no")
    if not isinstance(number, str) or not re.fullmatch(r"[A-Za-z0-9]{1,32}", number):
        raise Refusal("INVALID_PARAMETER", "external_agreement_no 不对")
    if (content.get("product_code"), content.get("personal_product_code")) != (
        PRODUCT,
        PERSONAL_PRODUCT,
    ):
        raise Refusal("PRODUCT_CODE_NOT_SUPPORTED_ERROR", "产品码不对")
    if content.get("sign_scene") != ALIPAY_CYCLE_SCENE:
        raise Refusal("INVALID_SIGN_SCENE", "sign_scene 与签约时不同")
    if not isinstance(access, dict) or access.get("channel") not in CHANNELS:
        raise Refusal("INVALID_PARAMETER", "access_params.channel 不对")
    if not isinstance(rule, dict) or rule.get("period_type") != "DAY":
        raise Refusal("INVALID_PARAMETER", "period_type 只支持 DAY")
    days = rule.get("period")
    if type(days) is not int or days < SHORTEST_DAYS:
        raise Refusal("INVALID_PARAMETER", "按天扣款时 period 不小于 7")
    fen = _fen(rule.get("single_amount"))
    if not 1 <= fen <= MOST_FEN:
        raise Refusal("INVALID_PARAMETER", "single_amount 超出限额")
    first_on = _day(rule.get("execute_time"))
    if first_on < now.astimezone(BEIJING).date():
        raise Refusal("INVALID_PARAMETER", "execute_time 已过")
    return Terms(number, str(access["channel"]), days, fen, first_on)


def agree(agreement: Agreement, *, notify: bool = True) -> None:
    """The member signs; only a page that waits can be signed."""
    with world().lock:
        if agreement.status not in (Status.ASKED, Status.REFUSED):
            return
        now = world().now()
        agreement.status, agreement.signed_at = Status.NORMAL, now
        agreement.agreement_no = (
            f"{beijing_text(now)[:10].replace('-', '')}{secrets.randbelow(10**12):012d}"
        )
        world().agreements.save(agreement)
    _post(agreement, agreement.notify_url if notify else "")


def refuse(agreement: Agreement) -> None:
    with world().lock:
        if agreement.status == Status.ASKED:
            agreement.status = Status.REFUSED
            world().agreements.save(agreement)


def end(agreement: Agreement, *, notify_url: str = "", notify: bool = True) -> None:
    """Unsign, by the shop or (without its ``notify_url``) from within the wallet."""
    with world().lock:
        if agreement.status != Status.NORMAL:
            return
        agreement.status, agreement.ended_at = Status.UNSIGN, world().now()
        world().agreements.save(agreement)
    _post(agreement, (notify_url or agreement.notify_url) if notify else "")


def query(
    content: dict[str, Any], parameters: Fields, here: str, now: datetime
) -> dict[str, Any]:
    agreement = _existing(content)
    return _facts(agreement) | {
        "alipay_logon_id": "san***@sandbox",
        "principal_id": BUYER,
        "principal_type": "CARD",
    }


def unsign(
    content: dict[str, Any], parameters: Fields, here: str, now: datetime
) -> dict[str, Any]:
    end(_existing(content), notify_url=parameters.get("notify_url", ""))
    return {}


def postpone(
    content: dict[str, Any], parameters: Fields, here: str, now: datetime
) -> dict[str, Any]:
    """``executionplan.modify``: later only."""
    agreement = _existing(content)
    to = _day(content.get("deduct_time"))
    if to <= agreement.next_on:
        raise Refusal("INVALID_PARAMETER", "扣款时间只能往后推")
    agreement.next_on = to
    world().agreements.save(agreement)
    return {"agreement_no": agreement.agreement_no, "deduct_time": to.isoformat()}


def check_debit(content: dict[str, Any], amount_fen: int, now: datetime) -> Agreement:
    """The agreement that allows this debit today, of this sum."""
    given = content.get("agreement_params")
    number = given.get("agreement_no") if isinstance(given, dict) else ""
    agreement = world().agreements.by_no(str(number or ""))
    if agreement is None:
        raise Refusal("ACQ.AGREEMENT_NOT_EXIST", "用户协议不存在")
    if agreement.status != Status.NORMAL:
        raise Refusal("ACQ.AGREEMENT_INVALID", "用户协议失效")
    if amount_fen > agreement.single_fen:
        raise Refusal("ACQ.CYCLE_PAY_SINGLE_FEE_EXCEED", "超过签约的单笔金额")
    if not agreement.is_day(now):
        raise Refusal("ACQ.CYCLE_PAY_DATE_NOT_MATCH", "不在签约允许的日期内")
    return agreement


def _existing(content: dict[str, Any]) -> Agreement:
    """An agreement in force, by its number or by the shop's with product and scene."""
    if content.get("agreement_no"):
        found = world().agreements.by_no(str(content["agreement_no"]))
    else:
        found = world().agreements.get(str(content.get("external_agreement_no", "")))
        named = content.get("personal_product_code"), content.get("sign_scene")
        if named != (PERSONAL_PRODUCT, ALIPAY_CYCLE_SCENE):
            raise Refusal(
                "INVALID_PARAMETER", "personal_product_code 或 sign_scene 不对"
            )
    if found is None or found.status != Status.NORMAL:
        raise Refusal("USER_AGREEMENT_NOT_EXIST", "用户协议不存在")
    return found


def _facts(agreement: Agreement) -> dict[str, str]:
    signed_at = beijing_text(agreement.signed_at) if agreement.signed_at else ""
    return {
        "agreement_no": agreement.agreement_no,
        "external_agreement_no": agreement.number,
        "invalid_time": NEVER,
        "next_deduct_time": agreement.next_on.isoformat(),
        "personal_product_code": PERSONAL_PRODUCT,
        "sign_scene": agreement.scene,
        "sign_time": signed_at,
        "single_quota": yuan_text(agreement.single_fen),
        "status": agreement.status.value,
        "valid_time": signed_at,
    }


def _fen(text: object) -> int:
    found = re.fullmatch(r"(\d{1,9})(?:\.(\d{1,2}))?", str(text))
    return int(found[1]) * 100 + int((found[2] or "").ljust(2, "0")) if found else 0


def _day(text: object) -> date:
    try:
        return date.fromisoformat(str(text))
    except ValueError as error:
        raise Refusal("INVALID_PARAMETER", "日期不对") from error


# --- Notices -----------------------------------------------------------------------


def _post(agreement: Agreement, url: str) -> None:
    if url:
        world().notices.post(letter(agreement, url=url))


def letter(agreement: Agreement, *, url: str = "", forgery: str = "") -> Letter:
    """The notice of how the agreement stands now: signed, or ended."""
    ended = agreement.status == Status.UNSIGN
    fields = {
        name: value for name, value in _facts(agreement).items() if "quota" not in name
    } | {
        "alipay_logon_id": "san***@sandbox",
        "alipay_user_id": BUYER,
        "app_id": ALIPAY_APP_ID,
        "auth_app_id": ALIPAY_APP_ID,
        "charset": "utf-8",
        "notify_id": secrets.token_hex(17),
        "notify_type": "dut_user_unsign" if ended else "dut_user_sign",
        "version": "1.0",
    }
    if ended and agreement.ended_at:
        fields["unsign_time"] = beijing_text(agreement.ended_at)
    if forgery == "wrong_app":
        fields["app_id"] = "2021999999999999"
    if forgery == "unknown_agreement":
        fields["external_agreement_no"] = "NOSUCHAGREEMENT00000000001"
    return Letter(
        gateway="alipay",
        number=agreement.number,
        event="unsign" if ended else "sign",
        url=url or agreement.notify_url,
        build=lambda now: _outgoing(fields, forgery, now),
        accepted=lambda status, body: status == 200 and body == b"success",
    )


def _outgoing(fields: Fields, forgery: str, now: datetime) -> Outgoing:
    told = fields | {"notify_time": beijing_text(now)}
    content = signing_text(told) + (b" " if forgery == "wrong_signature" else b"")
    sign = rsa.sign(content, world().keys.alipay_gateway)
    told |= {"sign_type": "RSA2"} | ({} if forgery == "unsigned" else {"sign": sign})
    return Outgoing(
        {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
        urlencode(told).encode(),
    )


def back_url(agreement: Agreement, *, now: datetime) -> str:
    """Where the browser goes afterwards: signed once there is an agreement."""
    if not agreement.return_url or agreement.status != Status.NORMAL:
        return agreement.return_url
    parts = urlsplit(agreement.return_url)
    fields = (
        dict(parse_qsl(parts.query))
        | _facts(agreement)
        | {
            "app_id": ALIPAY_APP_ID,
            "charset": "utf-8",
            "method": "alipay.user.agreement.page.sign.return",
            "timestamp": beijing_text(now),
            "version": "1.0",
        }
    )
    sign = rsa.sign(signing_text(fields), world().keys.alipay_gateway)
    query = urlencode(fields | {"sign_type": "RSA2", "sign": sign})
    return urlunsplit(parts._replace(query=query))
