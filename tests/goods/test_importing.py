"""Card keys coming in: I10, FLT-44, K20; sealed, resealed, undone."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from goods import importing, resealing, sealing
from goods.models import BatchState, CardKey, Goods, KeyBatch
from members.models import Member
from notifications.models import Outbox
from orders import delivery
from orders.models import Fulfil
from tests.goods.shelves import empty, make_goods, restock, short
from tests.shopping import Till, broken, fresh, new_member

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bring(book: Till, card: Goods) -> Callable[..., KeyBatch]:
    """Check a text and import it through the outbox, as the console does."""

    def brought(text: str, *, is_csv: bool = False, goods: Goods = card) -> KeyBatch:
        reading = importing.read(text, is_csv=is_csv)
        batch = importing.check(goods.pk, reading, actor_id=None, now=book.now)
        assert importing.confirm(batch.pk, now=book.now) is bool(batch.lines)
        book.run_outbox()
        batch.refresh_from_db()
        return batch

    return brought


# --- Reading -----------------------------------------------------------------------


def test_it_tells_good_from_malformed_by_line():
    """Blank lines count for nothing; numbers are those of the file."""
    text = "\ufeffGOOD-0001\r\n\r\n  GOOD-0002  \nab\n" + "x" * 201
    text += "\nBAD\u200b-0003\nGOOD-0001\n=1+2\n"
    found = importing.read(text)
    assert [(x.number, x.secret) for x in found.lines] == [
        (1, "GOOD-0001"),
        (3, "GOOD-0002"),
        (8, "=1+2"),
    ]
    assert found.twice == [7]
    assert found.malformed == [
        (4, importing.TOO_SHORT),
        (5, importing.TOO_LONG),
        (6, importing.UNPRINTABLE),
    ]


def test_csv_has_one_column_or_two():
    text = '卡号,密码\r\nNO-0001,"PW,1"\nNO-0002\n,,\nNO-0003,PW-3,extra\nNO-0004,\n'
    found = importing.read(text, is_csv=True)
    assert [(x.number, x.secret) for x in found.lines] == [
        (2, "NO-0001 PW,1"),
        (3, "NO-0002"),
        (6, "NO-0004"),
    ]
    assert found.malformed == [(5, importing.COLUMNS)]


def test_a_file_has_an_end():
    found = importing.read("\n".join(f"LINE-{n:06}" for n in range(50_010)))
    assert len(found.lines) == 50_000
    assert found.malformed == [(50_001, importing.TOO_MANY)]


def test_files_come_in_two_encodings():
    assert importing.decode("密码\n".encode("gb18030")) == "密码\n"
    assert importing.decode("\ufeff密码".encode()) == "密码"
    with pytest.raises(importing.NotText):
        importing.decode(b"\xff\xff\xff")


# --- I10 ---------------------------------------------------------------------------


def test_ten_thousand_keys_with_fifty_duplicates(
    book: Till, card: Goods, bring: Callable[..., KeyBatch]
):
    """I10: 9,950 added, the duplicates listed by line; progress moves with the keys."""
    bring("\n".join(f"I10-{n:06}" for n in range(30)))
    lines = [f"I10-{n:06}" for n in range(9_980)]  # 30 are there already
    lines += lines[100:120]  # and 20 stand in the file twice
    batch = bring("\n".join(lines))
    assert (batch.state, batch.added) == (BatchState.DONE, 9_950)
    assert batch.duplicates == [*range(1, 31), *range(9_981, 10_001)]
    assert (batch.position, batch.lines, batch.content) == (9_950, 9_950, "")
    assert fresh(card).stock == 3 + 30 + 9_950
    assert broken(book.now) == []


def test_a_bad_line_in_the_middle_is_reported_exactly(
    bring: Callable[..., KeyBatch],
):
    """FLT-44: 5,000 keys, line 2,501 makes no sense: 4,999 added, one named."""
    lines = [f"F44-{n:06}" for n in range(5_000)]
    lines[2_500] = "x"
    batch = bring("\n".join(lines))
    assert batch.added == 4_999
    assert batch.malformed == [[2_501, importing.TOO_SHORT]]


def test_a_dry_run_sells_nothing(book: Till, card: Goods):
    reading = importing.read("DRY-0001\nDRY-0002\n")
    batch = importing.check(card.pk, reading, actor_id=None, now=book.now)
    assert (batch.state, batch.lines) == (BatchState.CHECKED, 2)
    assert fresh(card).stock == CardKey.objects.count() == 3
    assert "DRY-0001" not in batch.content
    assert importing.drop(batch.pk)
    assert not importing.confirm(batch.pk, now=book.now)
    batch.refresh_from_db()
    assert (batch.state, batch.content) == (BatchState.DROPPED, "")


def test_a_dry_run_nobody_agrees_to_is_forgotten(book: Till, card: Goods):
    reading = importing.read("OLD-0001\n")
    batch = importing.check(card.pk, reading, actor_id=None, now=book.now)
    book.wait(hours=24)
    assert importing.drop_old(now=book.now) == 0
    book.wait(seconds=1)
    assert importing.drop_old(now=book.now) == 1
    batch.refresh_from_db()
    assert batch.content == ""


def test_a_worker_that_dies_costs_nothing(
    book: Till, card: Goods, monkeypatch: pytest.MonkeyPatch
):
    """FLT-35: the second worker goes on where the first one stopped."""
    text = "\n".join(f"DIE-{n:06}" for n in range(1_200))
    batch = importing.check(card.pk, importing.read(text), actor_id=None, now=book.now)
    importing.confirm(batch.pk, now=book.now)
    pieces = importing.pieces(batch.pk, now=book.now)
    assert next(pieces).position == 500
    del pieces
    importing.run_import({"batch": batch.pk}, now=book.now)
    importing.run_import({"batch": batch.pk}, now=book.now)
    batch.refresh_from_db()
    assert (batch.added, batch.duplicates, batch.state) == (1_200, [], "done")
    assert fresh(card).stock == 1_203


def test_an_import_serves_the_line(
    book: Till, member: Member, bring: Callable[..., KeyBatch]
):
    """D23: a restock is delivered at once, not at the next sweep."""
    goods = make_goods()
    order = short(book, member, goods)
    bring("NEW-0001\n", goods=goods)
    book.wait(seconds=1)
    book.run_outbox()
    assert fresh(order).fulfil == Fulfil.DONE
    assert delivery.reveal(order.pk, 1, now=book.now) == "NEW-0001"


def test_undo_takes_out_what_is_unsold(
    book: Till, member: Member, card: Goods, bring: Callable[..., KeyBatch]
):
    """Sold keys stay with their orders; the rest can be imported anew."""
    empty(card)
    batch = bring("UNDO-0001\nUNDO-0002\nUNDO-0003\n")
    order = book.buy_goods(member, card)
    assert importing.undo(batch.pk, now=book.now) == 2
    assert importing.undo(batch.pk, now=book.now) is None
    assert order.keys.count() == 1
    assert fresh(card).stock == 0
    again = bring("UNDO-0001\nUNDO-0002\nUNDO-0003\n")
    assert (again.added, len(again.duplicates)) == (2, 1)  # all but the sold one
    assert broken(book.now) == []


def test_a_key_of_an_undone_batch_is_not_sold_again(
    book: Till, member: Member, card: Goods
):
    from django.db import transaction

    order = book.buy_goods(member, card)
    importing.undo(order.keys.get().batch_id, now=book.now)
    with transaction.atomic():
        assert delivery.take_back_locked(order, now=book.now) == 1
    assert [key.state for key in card.keys.all()] == ["void"]
    assert fresh(card).stock == 0


# --- Secrets -----------------------------------------------------------------------


def test_keys_are_sealed_and_nowhere_else(
    book: Till, member: Member, card: Goods, bring: Callable[..., KeyBatch]
):
    """security 74: no table holds a key in clear, the outbox least of all."""
    bring("CANARY-4711\n")
    book.buy_goods(member, card)
    everything = json.dumps(
        [list(map(str, CardKey.objects.values_list())) for _ in "1"]
        + [list(map(str, KeyBatch.objects.values_list()))]
        + [list(map(str, Outbox.objects.values_list()))]
    )
    assert "CANARY" not in everything
    sealed = CardKey.objects.order_by("-id")[0]
    assert sealing.unseal(sealed.secret) == "CANARY-4711"


OLD, NEW = "o" * 20 + "ld-key-of-the-shop-0001", "n" * 20 + "ew-key-of-the-shop-0002"


def test_keys_move_to_a_new_data_key(card: Goods, book: Till):
    """security 88 for our own keys: old and new open, after resealing new alone."""
    with override_settings(DATA_KEYS=[OLD]):
        secrets = restock(card, 2)
        CardKey.objects.exclude(pk__in=card.keys.order_by("-id")[:2]).delete()
        Goods.objects.update(stock=2)
    with override_settings(DATA_KEYS=[NEW, OLD]):
        reading = importing.read("\n".join(secrets))
        assert importing.known(card.pk, reading.lines) == {1, 2}
        open_one = importing.check(
            card.pk, importing.read("OPEN-0001"), actor_id=None, now=book.now
        )
        assert resealing.reseal_all().failed == 0
        assert resealing.reseal_all().resealed == 2
    with override_settings(DATA_KEYS=[NEW]):
        opened = [sealing.unseal(key.secret) for key in card.keys.order_by("id")]
        assert opened == secrets
        assert importing.known(card.pk, reading.lines) == {1, 2}
        open_one.refresh_from_db()
        assert "OPEN-0001" in sealing.unseal(open_one.content)
    with override_settings(DATA_KEYS=[OLD]), pytest.raises(sealing.CannotOpen):
        sealing.unseal(card.keys.all()[0].secret)


def test_the_command_reseals(card: Goods):
    out = StringIO()
    call_command("reseal_keys", stdout=out)
    assert out.getvalue() == "3 sealed anew, 0 failed\n"
    with override_settings(DATA_KEYS=[NEW]), pytest.raises(SystemExit) as end:
        call_command("reseal_keys", stdout=out)
    assert end.value.code == 2


# --- The command -------------------------------------------------------------------


def run(*args: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("import_keys", *args, stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_the_command_imports_a_file(tmp_path: Path, card: Goods):
    file = tmp_path / "keys.txt"
    file.write_text("CMD-0001\nCMD-0002\n")
    assert run("card", str(file), "--dry-run") == (0, "2 can be added\n")
    assert not KeyBatch.objects.filter(lines=2).exists()
    code, said = run("card", str(file))
    assert (code, said.splitlines()[0]) == (0, "2 added")
    assert fresh(card).stock == 5
    code, said = run("card", str(file))
    assert (code, said) == (2, "0 can be added\n2 duplicate, on lines 1, 2\n")
    assert "CMD" not in said


def test_the_command_names_lines_and_never_keys(tmp_path: Path, card: Goods):
    file = tmp_path / "keys.csv"
    file.write_text("key,password\nCMD-0001,pw-1\nab\nCMD-0002,x,y\n")
    code, said = run("card", str(file), "--dry-run")
    assert code == 2
    assert said == "1 can be added\nline 3: Too short\nline 4: More than two columns\n"


def test_the_command_says_what_is_wrong(tmp_path: Path, card: Goods):
    with pytest.raises(CommandError, match="no goods"):
        call_command("import_keys", "nothing", "x")
    with pytest.raises(CommandError, match="Cannot read"):
        call_command("import_keys", "card", str(tmp_path / "none"))
    (tmp_path / "raw").write_bytes(b"\xff\xff\xff")
    with pytest.raises(CommandError, match="no text"):
        call_command("import_keys", "card", str(tmp_path / "raw"))


def test_somebody_waits_no_longer_than_the_import(book: Till, card: Goods):
    """The line is asked for by the batch that filled the shelf, once."""
    new_member()
    text = "ONCE-0001\n"
    batch = importing.check(card.pk, importing.read(text), actor_id=None, now=book.now)
    importing.confirm(batch.pk, now=book.now)
    importing.run_import({"batch": batch.pk}, now=book.now)
    asked = Outbox.objects.filter(kind=importing.SERVE)
    assert [row.payload for row in asked] == [{"goods": card.pk}]
