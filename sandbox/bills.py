"""The bills of both gateways: what moved on a day, in each one's own file."""

from __future__ import annotations

import csv
import io
import secrets
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from django.http import HttpRequest, HttpResponse

from sandbox.faults import answered
from sandbox.formats import yuan_text
from sandbox.keys import ALIPAY_SELLER_ID, WECHAT_APP_ID, WECHAT_MCH_ID
from sandbox.times import BEIJING, beijing_text
from sandbox.trades import Payment, Refund, RefundStatus, Trade
from sandbox.world import Call, world

KEPT = 100
FILES: dict[str, bytes] = {}
"""Files on offer by the secret in their address; the oldest go first."""

WECHAT_HEADER = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,"
    "交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,"
    "商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,"
    "手续费,费率,订单金额,申请退款金额,费率备注"
)
WECHAT_SUMS = (
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,"
    "申请退款总金额"
)
ALIPAY_HEADER = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,"
    "操作员,终端号,对方账户,订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,"
    "支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,"
    "卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注"
)
RULE = "#-----------------------------------------"


@dataclass(frozen=True, slots=True)
class Move:
    """One payment or refund; ``refund`` is None for a payment."""

    trade: Trade
    payment: Payment
    refund: Refund | None
    at: datetime


def offer(file: bytes) -> str:
    """Keep a file for whoever knows the secret that comes back."""
    token = secrets.token_urlsafe(32)
    FILES[token] = file
    while len(FILES) > KEPT:
        del FILES[next(iter(FILES))]
    return token


def moves(gateway: str, day: date) -> list[Move]:
    """What moved at a gateway on a day in Beijing, oldest first; hold the lock.

    WeChat lists a refund on the day it was asked for, Alipay when it was done.
    """
    found = [
        move
        for trade in world().trades
        if trade.gateway == gateway
        for move in _moves_of(trade)
        if move.at.astimezone(BEIJING).date() == day
    ]
    return sorted(found, key=lambda move: move.at)


def _moves_of(trade: Trade) -> Iterator[Move]:
    for payment in trade.payments:
        yield Move(trade, payment, None, payment.paid_at)
    for refund in trade.refunds:
        back_of = trade.payment(refund.txn_id)
        done = refund.status == RefundStatus.SUCCESS
        going = refund.status == RefundStatus.PROCESSING
        if back_of is None:
            continue
        if trade.gateway == "wechat" and (done or going):
            yield Move(trade, back_of, refund, refund.created_at)
        elif done and refund.settled_at:
            yield Move(trade, back_of, refund, refund.settled_at)


def wechat_text(day: date) -> bytes:
    """A bill of the kind ALL: every cell behind a backquote, then the sums."""
    listed = moves("wechat", day)
    lines = [WECHAT_HEADER]
    lines += [_quoted(_wechat_cells(move)) for move in listed]
    paid = sum(move.payment.amount_fen for move in listed if move.refund is None)
    back = sum(move.refund.amount_fen for move in listed if move.refund)
    sums = [str(len(listed)), yuan_text(paid), yuan_text(back), "0.00", "0.00000"]
    sums += [yuan_text(paid), yuan_text(back)]
    lines += [WECHAT_SUMS, _quoted(sums)]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8-sig")


def _quoted(cells: list[str]) -> str:
    return ",".join(f"`{cell}" for cell in cells)


def _wechat_cells(move: Move) -> list[str]:
    refund, paid = move.refund, yuan_text(move.payment.amount_fen)
    back = yuan_text(refund.amount_fen) if refund else "0.00"
    return [
        beijing_text(move.at),
        *(WECHAT_APP_ID, WECHAT_MCH_ID, "0", ""),
        move.payment.txn_id,
        move.trade.number,
        *("oSANDBOX", move.trade.product.upper()),
        "REFUND" if refund else "SUCCESS",
        *("OTHERS", move.payment.currency),
        "0.00" if refund else paid,
        yuan_text(move.payment.discount_fen),
        refund.gateway_id if refund else "0",
        refund.number if refund else "0",
        *(back, "0.00"),
        "ORIGINAL" if refund else "",
        refund.status.value.upper() if refund else "",
        move.trade.subject,
        *("", "0.00000", "0.60%"),
        "0.00" if refund else paid,
        *(back, ""),
    ]


def alipay_zip(day: date) -> bytes:
    """The business bill: details and summary, CSV in GBK, packed in a zip."""
    listed = moves("alipay", day)
    account = f"{ALIPAY_SELLER_ID}0156"
    frame = [
        f"#账号：[{account}]",
        f"#起始日期：[{day:%Y年%m月%d日} 00:00:00]   终止日期：[{day:%Y年%m月%d日} 24:00:00]",
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerows(_alipay_cells(move) for move in listed)
    details = [
        "#支付宝业务明细查询",
        *frame,
        f"{RULE}业务明细列表{RULE[1:]}",
        ALIPAY_HEADER,
        *text.getvalue().splitlines(),
        f"{RULE}业务明细列表结束{RULE[1:]}",
        f"#导出时间：[{beijing_text(world().now())}]",
    ]
    summary = ["#支付宝业务汇总查询", *frame, f"{RULE}业务汇总列表结束{RULE[1:]}"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, lines in (("业务明细", details), ("业务明细(汇总)", summary)):
            content = "".join(f"{line}\r\n" for line in lines).encode("gbk", "replace")
            archive.writestr(f"{account}_{day:%Y%m%d}_{name}.csv", content)
    return packed.getvalue()


def _alipay_cells(move: Move) -> list[str]:
    """A tab behind what Excel would take for a number."""
    refund = move.refund
    fen = refund.amount_fen if refund else move.payment.amount_fen
    amount = ("-" if refund else "") + yuan_text(fen)
    return [
        f"{move.payment.txn_id}\t",
        f"{move.trade.number}\t",
        "退款\t" if refund else "交易\t",
        move.trade.subject,
        beijing_text(move.payment.paid_at),
        beijing_text(move.at),
        *("\t", "\t", "\t", "\t"),
        "**(san***@sandbox)\t",
        *(amount, amount),
        *("0.00", "0.00", "0.00", "0.00", "0.00", "", "0.00\t", "0.00"),
        f"{refund.number if refund else ''}\t",
        *("0.00", "0.00", ""),
    ]


def alipay_file(request: HttpRequest, token: str) -> HttpResponse:
    """The file behind a secret address, as Alipay's bill centre hands it out."""
    file = FILES.get(token)
    fault = world().faults.take("alipay", "bill_file")
    response = answered(
        world().faults,
        fault,
        work=lambda: HttpResponse(file or b"", "application/zip", 200 if file else 404),
        refuse=lambda code, status: HttpResponse(code, "text/plain", status),
        send=lambda answer, _seal: answer,
    )
    outcome = fault.kind if fault else str(response.status_code)
    world().calls.append(Call("alipay", "bill_file", "", outcome, world().now()))
    return response
