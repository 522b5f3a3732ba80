from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.merchant import AlipayMerchant, NoticeServer, WeChatMerchant
from tests.sandbox_process import Sandbox, running_sandbox


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sandbox")


@pytest.fixture(scope="session")
def sandbox_process(directory: Path) -> Iterator[Sandbox]:
    with running_sandbox(directory) as sandbox:
        yield sandbox


@pytest.fixture
def keys_made(sandbox_process: Sandbox, directory: Path) -> Path:
    """Copy it to start another sandbox quickly."""
    return directory / "keys.json"


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Sandbox:
    sandbox_process.reset()
    sandbox_process.set_notice_gaps(0.05, 0.05, 0.05)
    return sandbox_process


@pytest.fixture
def alipay(sandbox: Sandbox) -> AlipayMerchant:
    return AlipayMerchant(sandbox)


@pytest.fixture
def wechat(sandbox: Sandbox) -> WeChatMerchant:
    return WeChatMerchant(sandbox)


@pytest.fixture
def shop() -> Iterator[NoticeServer]:
    server = NoticeServer()
    server.start()
    yield server
    server.stop()
