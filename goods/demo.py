"""The demo shop's zone: shelves, goods and made-up keys."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from goods import sealing
from goods.models import (
    BatchState,
    CardKey,
    Category,
    Goods,
    GoodsChange,
    KeyBatch,
)

CATEGORIES = (
    ("video", "影音会员", "Video and music"),
    ("games", "游戏点卡", "Game cards"),
    ("tools", "软件工具", "Software"),
)
GOODS: tuple[dict[str, Any], ...] = (
    {
        "slug": "video-month",
        "category": "video",
        "name": "视频会员月卡",
        "name_en": "Video membership, one month",
        "summary": "兑换后 30 天有效，手机和电视都能用。",
        "summary_en": "Good for 30 days once redeemed, on phone and television.",
        "price_fen": 2_500,
        "keys": 40,
    },
    {
        "slug": "music-season",
        "category": "video",
        "name": "音乐会员季卡",
        "name_en": "Music membership, three months",
        "summary": "兑换后 90 天有效。",
        "summary_en": "Good for 90 days once redeemed.",
        "price_fen": 3_900,
        "keys": 3,
    },
    {
        "slug": "game-100",
        "category": "games",
        "name": "游戏点卡 100 元",
        "name_en": "Game card, ¥100",
        "summary": "充到你的游戏账号，即充即到。",
        "summary_en": "Goes to your game account at once.",
        "price_fen": 10_000,
        "keys": 120,
        "max_per_member": 10,
    },
    {
        "slug": "cloud-month",
        "category": "tools",
        "name": "云盘会员月卡",
        "name_en": "Cloud storage, one month",
        "summary": "兑换后 30 天有效。",
        "summary_en": "Good for 30 days once redeemed.",
        "price_fen": 999,
        "keys": 0,
    },
    {
        "slug": "office-year",
        "category": "tools",
        "name": "办公软件年卡",
        "name_en": "Office suite, one year",
        "summary": "一码一台电脑。最后一批，卖完不再补货。",
        "summary_en": "One code for one computer. The last lot.",
        "price_fen": 19_900,
        "keys": 6,
        "member_discount": False,
        "restocks": False,
    },
)
INSTRUCTIONS = (
    "打开对应的官方应用，进「兑换」，输入卡密。\n卡密只显示给你，别告诉别人。"
)


def fill(*, now: datetime) -> None:
    """Shelves and goods with their price history, and keys that open nothing."""
    shelves = {
        slug: Category.objects.create(
            slug=slug, name=name, name_en=english, position=position
        )
        for position, (slug, name, english) in enumerate(CATEGORIES)
    }
    for position, row in enumerate(GOODS):
        facts = {**row, "category": shelves[row["category"]], "position": position}
        keys = facts.pop("keys")
        goods = Goods.objects.create(instructions=INSTRUCTIONS, **facts)
        price = str(goods.price_fen)
        GoodsChange.objects.create(
            goods=goods, field="price_fen", new=price, changed_at=now
        )
        stock(
            goods,
            [f"DEMO-{secrets.token_hex(8).upper()}" for _ in range(keys)],
            now=now,
        )


def stock(goods: Goods, keys: list[str], *, now: datetime) -> KeyBatch:
    """Put keys on the shelf at once, as an import that is done."""
    batch = KeyBatch.objects.create(
        goods=goods,
        state=BatchState.DONE,
        lines=len(keys),
        position=len(keys),
        added=len(keys),
        created_at=now,
        finished_at=now,
    )
    CardKey.objects.bulk_create(
        CardKey(
            goods=goods,
            batch=batch,
            secret=sealing.seal(key),
            digest=sealing.digest(key),
        )
        for key in keys
    )
    goods.stock += len(keys)
    goods.low_since = now if goods.stock < goods.low_stock else None
    goods.save(update_fields=["stock", "low_since"])
    return batch
