"""The two sides of the wire share nothing, and the recorded SMS requests verify."""

from __future__ import annotations

import ast
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.merchant import HTTP
from tests.sandbox_process import ROOT, Sandbox, running_sandbox

SHOP = {"kameng", "members", "goods", "orders", "payments", "notifications", "risk"}
VECTORS = ROOT / "tests" / "vectors" / "sms.json"


def imports(folder: Path) -> set[str]:
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            if isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found


def test_the_sandbox_imports_nothing_of_the_shop() -> None:
    assert not imports(ROOT / "sandbox") & SHOP


@pytest.mark.parametrize("app", sorted(SHOP))
def test_nothing_of_the_shop_imports_the_sandbox(app: str) -> None:
    assert "sandbox" not in imports(ROOT / app)


@pytest.fixture
def replaying(keys_made: Path, tmp_path: Path) -> Any:
    """A sandbox that knows the secrets of the recorded requests."""
    recorded = json.loads(VECTORS.read_text())
    keys = json.loads(keys_made.read_text()) | {
        "tencent_secret_id": recorded["tencent"]["secret_id"],
        "tencent_secret_key": recorded["tencent"]["secret_key"],
        "aliyun_access_key_id": recorded["aliyun"]["access_key_id"],
        "aliyun_access_key_secret": recorded["aliyun"]["access_key_secret"],
    }
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    shutil.copymode(keys_made, tmp_path / "keys.json")
    with running_sandbox(tmp_path) as sandbox:
        yield sandbox, recorded


def test_requests_recorded_from_the_vendors_sdks_verify(
    replaying: tuple[Sandbox, Any],
) -> None:
    """They stop only at accounts that the sandbox does not have."""
    sandbox, recorded = replaying
    for provider in ("aliyun", "tencent"):
        request = recorded[provider]["request"]
        headers = {
            name: value
            for name, value in request["headers"].items()
            if name.lower() != "content-length"
        }
        moment = (
            headers.get("x-acs-date")
            or datetime.fromtimestamp(int(headers["X-TC-Timestamp"]), UTC).isoformat()
        )
        sandbox.set_clock(now=moment)
        answer = HTTP.post(
            sandbox.url + request["path"], content=request["body"], headers=headers
        ).text
        expected = {
            "aliyun": "isv.SMS_TEMPLATE_ILLEGAL",
            "tencent": "UnauthorizedOperation.SdkAppIdIsDisabled",
        }
        assert expected[provider] in answer


def test_keys_of_an_older_version_are_kept_and_the_missing_ones_made(
    keys_made: Path, tmp_path: Path
) -> None:
    """A demo shop that was updated starts as before."""
    older = json.loads(keys_made.read_text())
    del older["epay_key"]
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(older))
    path.chmod(0o600)
    for _ in range(2):
        with running_sandbox(tmp_path):
            now = json.loads(path.read_text())
        assert {name: now[name] for name in older} == older
        assert len(now["epay_key"]) == 32
