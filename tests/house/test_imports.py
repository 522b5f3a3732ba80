"""Which application may import which: payments → orders → members, goods.

Notifications know none of them, the sandbox shares nothing with the shop. Pages that put
a purchase together may look wider; they are named here, one by one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAY_IMPORT = {
    "goods": {"notifications", "kameng"},
    "members": {"notifications", "kameng"},
    "notifications": {"kameng"},
    "orders": {"goods", "members", "notifications", "kameng"},
    "payments": {"orders", "goods", "members", "notifications", "kameng"},
    "kameng": {"goods", "members", "notifications", "payments"},
    "sandbox": set[str](),
}
PAGES = {
    "members/admin.py",  # a member's page tells of her renewals
    "orders/admin.py",  # an order's page tells of its money
    "orders/views.py",  # the checkout is the first press of "pay"
}


def imported(module: Path) -> Iterator[str]:
    """The applications that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(module.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in names:
            yield name.partition(".")[0]


def modules(app: str) -> list[Path]:
    """Without migrations, which name each other's tables."""
    found = sorted((ROOT / app).rglob("*.py"))
    return [module for module in found if "migrations" not in module.parts]


@pytest.mark.parametrize("app", MAY_IMPORT)
def test_imports_point_one_way(app: str):
    known = MAY_IMPORT.keys() | {"tests", "benchmarks"}
    against = {
        f"{module.relative_to(ROOT)} imports {other}"
        for module in modules(app)
        for other in set(imported(module))
        if other in known and other != app and other not in MAY_IMPORT[app]
        if str(module.relative_to(ROOT)) not in PAGES
    }
    assert against == set()


def test_the_pages_that_look_wider_still_do():
    """Else they need no excuse any more."""
    for page in PAGES:
        app = page.partition("/")[0]
        assert set(imported(ROOT / page)) & MAY_IMPORT.keys() - MAY_IMPORT[app] - {app}
