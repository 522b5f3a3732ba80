from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from kameng import embedded


def test_secrets_are_made_once_and_readable_to_one(tmp_path: Path) -> None:
    made = embedded.development_secrets(tmp_path)
    assert embedded.development_secrets(tmp_path) == made
    assert set(made) == {"SECRET_KEY", "DATA_KEYS"}
    assert min(map(len, made.values())) >= 50
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_the_environment_wins_variable_by_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALIPAY_APP_ID", "mine")
    monkeypatch.setenv("ALIPAY_PUBLIC_KEY_FILE", "/some/file")
    monkeypatch.delenv("ALIPAY_SELLER_ID", raising=False)
    merged = embedded.under_the_environment(
        {"ALIPAY_APP_ID": "a", "ALIPAY_PUBLIC_KEY": "b", "ALIPAY_SELLER_ID": "c"}
    )
    assert merged["ALIPAY_APP_ID"] == "mine"
    assert "ALIPAY_PUBLIC_KEY" not in merged
    assert merged["ALIPAY_SELLER_ID"] == "c"


def test_a_command_by_hand_recalls_the_running_shops_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {"DATA_KEYS": "mine"})
    embedded.remember(tmp_path, {"DATA_KEYS": "theirs", "REDIS_URL": "unix:///there"})
    embedded.recall(tmp_path)
    assert os.environ == {"DATA_KEYS": "mine", "REDIS_URL": "unix:///there"}
    assert (tmp_path / "environment.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "place",
    [{"KAMENG_ENV": "production"}, {"KAMENG_ENV_FILE": "/f"}, {"PYTEST_VERSION": "9"}],
)
def test_nothing_is_recalled_in_production_or_under_a_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: dict[str, str]
) -> None:
    monkeypatch.setattr(os, "environ", dict(place))
    embedded.remember(tmp_path, {"DATA_KEYS": "theirs"})
    embedded.recall(tmp_path)
    assert os.environ == place


def test_nothing_is_recalled_where_no_shop_ever_ran(tmp_path: Path) -> None:
    before = dict(os.environ)
    embedded.recall(tmp_path)
    assert dict(os.environ) == before


def test_a_socket_path_stays_below_the_kernels_limit(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 30)
    path = embedded.valkey_socket(deep)
    assert len(os.fsencode(path)) <= embedded.LONGEST_SOCKET_PATH
    assert path == embedded.valkey_socket(deep)
    assert path.parent.stat().st_mode & 0o077 == 0
    path.parent.rmdir()


def test_the_private_valkey_answers_and_never_evicts(tmp_path: Path) -> None:
    import redis

    folder = tmp_path / "v"
    command = embedded.valkey_command(folder)
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        socket = embedded.valkey_socket(folder)
        embedded.wait_for_socket(socket)
        with redis.Redis(unix_socket_path=str(socket)) as client:
            found = client.config_get("maxmemory-policy", "appendonly", "port")
        assert found == {
            "maxmemory-policy": "noeviction",
            "appendonly": "yes",
            "port": "0",
        }
    finally:
        server.terminate()
        server.wait(timeout=30)


def test_a_missing_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(embedded.ValkeyMissing, match="set REDIS_URL"):
        embedded.valkey_server()


def test_half_written_secrets_are_never_read(tmp_path: Path) -> None:
    (tmp_path / "secrets.json.new").write_text('{"SECRET')
    made = embedded.development_secrets(tmp_path)
    assert json.loads((tmp_path / "secrets.json").read_text()) == made
