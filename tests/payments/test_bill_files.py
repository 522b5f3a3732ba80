"""The gateways' own bill files, read strictly: every sum in fen, every fault by line."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from payments.gateways import bills, plain_bill
from payments.gateways.alipay import bill as alipay
from payments.gateways.bills import BadBill
from payments.gateways.contract import Unclear
from payments.gateways.unionpay import bill as unionpay
from payments.gateways.wechat import bill as wechat

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
AT_TEN = datetime(2026, 11, 22, 2, 0, 9, tzinfo=UTC)

# --- WeChat Pay --------------------------------------------------------------------

WECHAT_HEADER = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,"
    "交易状态,付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,"
    "充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,"
    "费率备注"
)
WECHAT_PAID = (
    "`2026-11-22 10:00:09,`wx1,`1900000001,`0,`,`4200001,`KMORDER1,`openid,`NATIVE,"
    "`SUCCESS,`OTHERS,`CNY,`12.00,`3.00,`0,`0,`0.00,`0.00,`,`,`临时会员, 7 天,`,"
    "`0.09000,`0.60%,`15.00,`0.00,`"
)
WECHAT_BACK = (
    "`2026-11-22 11:00:00,`wx1,`1900000001,`0,`,`4200001,`KMORDER1,`openid,`NATIVE,"
    "`REFUND,`OTHERS,`CNY,`0.00,`0.00,`50300001,`RKMORDER1,`4.00,`0.00,`ORIGINAL,"
    "`PROCESSING,`临时会员,`,`-0.03000,`0.60%,`0.00,`5.00,`"
)
WECHAT_SUMS = (
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n"
    "`2,`12.00,`4.00,`0.00,`0.06000,`15.00,`5.00\r\n"
)


def wechat_file(*rows: str, header: str = WECHAT_HEADER, end: str = WECHAT_SUMS) -> str:
    return "".join(f"{row}\r\n" for row in (header, *rows)) + end


def read_wechat(data: bytes) -> list[bills.BillLine]:
    return wechat.read(data, merchant="1900000001", now=NOW)


def test_wechat_lists_order_totals_in_fen():
    """R7: before the wallet's own coupons; a comma in a name parts no cells."""
    paid, back = read_wechat(wechat_file(WECHAT_PAID, WECHAT_BACK).encode())
    assert (paid.kind, paid.number, paid.txn_id) == ("payment", "KMORDER1", "4200001")
    assert (paid.amount_fen, paid.at, paid.is_final) == (1_500, AT_TEN, True)
    assert (back.kind, back.number, back.txn_id) == ("refund", "RKMORDER1", "4200001")
    assert (back.amount_fen, back.is_final) == (500, False)


@pytest.mark.parametrize(
    "pack",
    [
        lambda text: gzip.compress(text.encode()),
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("gb18030"),
        lambda text: text.replace("\r\n", "\n").encode(),
    ],
)
def test_wechat_comes_packed_marked_or_in_chinese_bytes(pack: Callable[[str], bytes]):
    assert len(read_wechat(pack(wechat_file(WECHAT_PAID)))) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: no column 交易时间"),
        (wechat_file(header=WECHAT_HEADER.replace("订单金额,申", "申")), "订单金额"),
        (wechat_file(WECHAT_PAID, end=""), "line 2: the file ends before the sums"),
        (wechat_file(end="总交易单数\r\n"), "line 2: the file ends before the sums"),
        (wechat_file(WECHAT_PAID[:-40]), "line 2: 2. cells, not 27"),
        (wechat_file(WECHAT_PAID[1:]), "line 2: does not begin with a backquote"),
        (wechat_file(WECHAT_PAID.replace("1900000001", "1900000002")), "merchant"),
        (wechat_file(WECHAT_PAID.replace("CNY", "USD")), "line 2: the currency"),
        (wechat_file(WECHAT_PAID.replace("SUCCESS", "REVOKED")), "line 2: a state"),
        (wechat_file(WECHAT_PAID.replace("`15.00", "`15.000")), "line 2: 订单金额"),
        (wechat_file(WECHAT_PAID.replace("`15.00", "`-15.00")), "line 2: 订单金额"),
        (wechat_file(WECHAT_PAID.replace("`15.00", "`1e3")), "line 2: 订单金额"),
        (wechat_file(WECHAT_PAID.replace("`15.00", "`１５")), "line 2: 订单金额"),
        (wechat_file(WECHAT_PAID.replace("`15.00", "`=1+2")), "line 2: 订单金额"),
        (wechat_file(WECHAT_PAID.replace("`KMORDER1", "`=HYPERLINK(1)")), "商户订单号"),
        (wechat_file(WECHAT_PAID.replace("`4200001", "`+4200001")), "微信订单号"),
        (
            wechat_file(WECHAT_PAID.replace(" 10:00:09", " 25:00:09")),
            "line 2: the time",
        ),
        (wechat_file(WECHAT_PAID, WECHAT_BACK.replace("`RKM", "`R KM")), "line 3"),
    ],
)
def test_what_is_no_wechat_bill_is_refused_by_line(text: str, words: str):
    """Formula cells, another merchant's file, a cut-off one, amounts in any disguise."""
    with pytest.raises(BadBill, match=words):
        read_wechat(text.encode())


# --- Alipay ------------------------------------------------------------------------

ALIPAY_HEADER = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,"
    "对方账户,订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,"
    "商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,"
    "退款批次号/请求号,服务费（元）,分润（元）,备注"
)
ALIPAY_PAID = (
    '2026112222001\t,KMORDER1\t,交易\t,"临时会员, 7 天",2026-11-22 10:00:01,'
    "2026-11-22 10:00:09,\t,\t,\t,\t,*津水(602***@qq.com)\t,15.00,15.00,0.00,0.00,0.00,"
    "0.00,0.00,,0.00\t,0.00,\t,-0.09,0.00,"
)
ALIPAY_BACK = (
    ALIPAY_PAID.replace("交易", "退款")
    .replace("15.00,15.00", "-5.00,-5.00")
    .replace("0.00,\t,", "0.00,RKMORDER1\t,")
)


def alipay_file(
    *rows: str,
    account: str = "20880041000000010156",
    header: str = ALIPAY_HEADER,
    end: str = "#----业务明细列表结束----\r\n#交易合计：1笔\r\n",
) -> str:
    top = f"#支付宝业务明细查询\r\n#账号：[{account}]\r\n#起始日期：[]\r\n#----业务明细列表----\r\n"
    return top + "".join(f"{row}\r\n" for row in (header, *rows)) + end


def zipped(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def read_alipay(data: bytes) -> list[bills.BillLine]:
    return alipay.read(data, merchant="2088004100000001", now=NOW)


def test_alipay_lists_order_totals_in_fen_from_the_zip():
    summary = "#支付宝业务汇总查询\r\n".encode("gbk")
    details = alipay_file(ALIPAY_PAID, ALIPAY_BACK).encode("gbk")
    paid, back = read_alipay(zipped(summary=summary, details=details))
    assert (paid.kind, paid.number, paid.txn_id) == (
        *("payment", "KMORDER1"),
        "2026112222001",
    )
    assert (paid.amount_fen, paid.at) == (1_500, AT_TEN)
    assert (back.kind, back.number, back.amount_fen) == ("refund", "RKMORDER1", 500)
    assert read_alipay(details) == [paid, back]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: not Alipay"),
        ("#支付宝业务汇总查询\n", "line 1: not Alipay"),
        (alipay_file(account="20880041000000020156"), "line 2: .* another merchant"),
        (alipay_file(account="2088004100000001015600"), "another merchant"),
        (alipay_file(header="支付宝交易号,商户订单号"), "line 5: no column 业务类型"),
        (alipay_file(ALIPAY_PAID, end=""), "ends before its last line"),
        (alipay_file(ALIPAY_PAID[:-20]), "line 6: 2. cells, not 25"),
        (alipay_file(ALIPAY_PAID.replace("交易", "转账")), "line 6: a kind"),
        (alipay_file(ALIPAY_PAID.replace("15.00,15", "1,500.00,15")), "line 6"),
        (alipay_file(ALIPAY_PAID.replace("15.00,15", "-15.00,15")), "line 6: 订单金额"),
        (alipay_file(ALIPAY_PAID.replace("KMORDER1", "=cmd|'/C calc'!A0")), "line 6"),
        (
            alipay_file(ALIPAY_PAID, ALIPAY_PAID.replace("交易", "退款")),
            "line 7: 退款批次号",
        ),
    ],
)
def test_what_is_no_alipay_bill_is_refused_by_line(text: str, words: str):
    with pytest.raises(BadBill, match=words):
        read_alipay(text.encode("gbk"))


# --- UnionPay ----------------------------------------------------------------------

ZM_WIDTHS = (
    *(3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2),
    *(4, 32, 1, 21, 15, 1, 15, 32, 13, 13, 8, 32, 13, 13, 12, 2, 1, 32, 98),
)


def zm_row(**other: str) -> bytes:
    """A line of 42 columns; those named by number are filled."""
    cells = {
        *{"c5": "1122100009", "c7": "000000001500", "c10": "202611221000091"}.items(),
        *{"c12": "KMORDER1", "c20": "01", "c28": "777290058110048"}.items(),
        ("c31", "二级商户"),
    }
    filled = dict(cells) | other
    columns = [
        filled.get(f"c{n}", "").encode("gbk").ljust(width)
        for n, width in enumerate(ZM_WIDTHS, 1)
    ]
    return b" ".join(columns) + b"\r\n"


def read_unionpay(data: bytes, now: datetime = NOW) -> list[bills.BillLine]:
    return unionpay.read(data, merchant="777290058110048", now=now)


def test_unionpay_is_read_by_column():
    refund = zm_row(c12="RKMORDER1", c20="04", c7="000000000500", c27="2026112210000")
    paid, back = read_unionpay(zm_row() + refund)
    assert (paid.kind, paid.number, paid.txn_id) == (
        *("payment", "KMORDER1"),
        "202611221000091",
    )
    assert (paid.amount_fen, paid.at) == (1_500, AT_TEN)
    assert (back.kind, back.number, back.txn_id) == (
        *("refund", "RKMORDER1"),
        "2026112210000",
    )
    assert back.amount_fen == 500
    assert read_unionpay(zipped(ZME=b"other columns\n", ZM=zm_row())) == [paid]


def test_unionpay_names_no_year():
    """A file of New Year's Eve that is read in January is of last year."""
    (paid,) = read_unionpay(
        zm_row(c5="1231235959"), now=datetime(2027, 1, 1, 3, tzinfo=UTC)
    )
    assert paid.at == datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (zm_row()[:200], "line 1: not the columns"),
        (b"x" * 900 + b"\n", "line 1: not the columns"),
        (zm_row() + zm_row(c28="777290058110049"), "line 2: .* another merchant"),
        (zm_row(c7="15.00"), "line 1: no time or no amount"),
        (zm_row(c7="-00000001500"), "line 1: no time or no amount"),
        (zm_row(c5="1332100009"), "line 1: the time"),
        (zm_row(c20="02"), "line 1: a kind"),
        (zm_row(c12="=1+1"), "line 1: orderId"),
        (zipped(a=b"x\n", b=b"y\n"), "no file in the archive"),
    ],
)
def test_what_is_no_zm_file_is_refused_by_line(data: bytes, words: str):
    with pytest.raises(BadBill, match=words):
        read_unionpay(data)


# --- Packed files ------------------------------------------------------------------


def test_a_cut_off_or_damaged_gzip_is_refused():
    packed = gzip.compress(wechat_file(WECHAT_PAID).encode())
    for data in (
        packed[:-20],
        packed + b"more",
        packed[:20] + b"\x00" * 9 + packed[29:],
    ):
        with pytest.raises(BadBill, match="gzip"):
            read_wechat(data)


def test_what_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bills, "LARGEST_TEXT", 100_000)
    bomb = gzip.compress(b"0" * 1_000_000)
    with pytest.raises(BadBill, match="unpacks to too much"):
        bills.gunzip(bomb)
    with pytest.raises(BadBill, match="unpacks to too much"):
        bills.unzip(zipped(bomb=b"0" * 1_000_000))
    with pytest.raises(BadBill, match="unpacks to too much"):
        bills.unzip(zipped(**{f"file{n}": b"" for n in range(30)}))
    with pytest.raises(BadBill, match="too large"):
        bills.decode(b"0" * 200_000)


def test_a_damaged_zip_is_refused():
    packed = zipped(details=alipay_file(ALIPAY_PAID).encode("gbk"))
    wrong = bytearray(packed)
    wrong[60:90] = b"\x00" * 30
    for data in (packed[:-30], bytes(wrong)):
        with pytest.raises(BadBill):
            read_alipay(data)


def test_bytes_in_no_known_script_are_refused():
    with pytest.raises(BadBill, match="neither UTF-8 nor GB 18030"):
        bills.decode(b"\xff\xff\xff")


def test_each_gateway_brings_its_reader_and_others_use_the_plain_csv():
    assert bills.reader("wechat") is wechat
    assert bills.reader("unionpay") is unionpay
    assert bills.reader("nowhere") is None
    assert plain_bill.is_plain("gateway,kind,out_trade_no,txn_id,amount_fen\n")
    assert not plain_bill.is_plain(alipay_file())


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/file",
        "https://api.example.com:8443/file",
        "https://api.example.com.evil.example/file",
        "https://user@api.example.com/file",
        "https://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:6379/",
        "file:///etc/passwd",
        "https://[::1",
        "",
    ],
)
def test_a_bill_is_fetched_from_the_gateway_and_nowhere_else(url: str):
    """security 79"""
    origins = ("https://api.example.com",)
    assert bills.checked_url("https://api.example.com/file?t=1", origins)
    with pytest.raises(Unclear, match="bill-address"):
        bills.checked_url(url, origins)
