from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from django.core.management import call_command

from kameng.static_files import StaticFiles

STYLE = "body { color: rebeccapurple }\n" * 50
Answer = tuple[str, dict[str, str], bytes]


def django(environ, start_response):
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"from Django"]


@pytest.fixture
def site(tmp_path: Path) -> StaticFiles:
    root = tmp_path / "static"
    (root / "css").mkdir(parents=True)
    for name in ("css/base.css", "css/base.0123456789ab.css"):
        (root / name).write_text(STYLE)
    (root / "tiny.js").write_text("1")
    (root / "photo.png").write_bytes(b"\x89PNG" + b"0" * 500)
    manifest = {"paths": {"css/base.css": "css/base.0123456789ab.css"}}
    (root / "staticfiles.json").write_text(json.dumps(manifest))
    (tmp_path / "secret").write_text("secret")
    return StaticFiles(django, root, "/static/")


def ask(
    site: StaticFiles, path: str, method: str = "GET", accepted: str = ""
) -> Answer:
    seen: list[tuple[str, dict[str, str]]] = []

    def start_response(status, headers, error=None):
        seen.append((status, dict(headers)))
        return bytes

    environ = {
        "PATH_INFO": path,
        "REQUEST_METHOD": method,
        "HTTP_ACCEPT_ENCODING": accepted,
        "wsgi.input": BytesIO(),
    }
    body = b"".join(site(environ, start_response))
    return *seen[0], body


def test_a_versioned_file_is_kept_for_good(site: StaticFiles) -> None:
    status, headers, body = ask(site, "/static/css/base.0123456789ab.css")
    assert status == "200 OK"
    assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert headers["Content-Type"] == "text/css; charset=utf-8"
    assert headers["Vary"] == "Accept-Encoding"
    assert body.decode() == STYLE


def test_a_file_under_its_plain_name_is_kept_briefly(site: StaticFiles) -> None:
    _, headers, _ = ask(site, "/static/css/base.css")
    assert headers["Cache-Control"] == "public, max-age=3600"


def test_text_is_compressed_for_those_who_accept_it(site: StaticFiles) -> None:
    _, headers, body = ask(site, "/static/css/base.css", accepted="br, gzip")
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Content-Length"] == str(len(body))
    assert gzip.decompress(body).decode() == STYLE


@pytest.mark.parametrize("path", ["/static/photo.png", "/static/tiny.js"])
def test_what_compression_cannot_shrink_goes_plain(
    site: StaticFiles, path: str
) -> None:
    _, headers, _ = ask(site, path, accepted="gzip")
    assert "Content-Encoding" not in headers


def test_head_tells_the_length_and_sends_nothing(site: StaticFiles) -> None:
    _, headers, body = ask(site, "/static/css/base.css", method="HEAD")
    assert (headers["Content-Length"], body) == (str(len(STYLE)), b"")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/static/",
        "/static/css",
        "/static/none.css",
        "/static/../secret",
        "/static/css/../../../secret",
        "/static//css/base.css",
        "/static/staticfiles.json",
    ],
)
def test_all_else_is_left_to_django(site: StaticFiles, path: str) -> None:
    assert ask(site, path)[2] == b"from Django"


def test_posting_to_a_file_is_left_to_django(site: StaticFiles) -> None:
    assert ask(site, "/static/css/base.css", method="POST")[2] == b"from Django"


# --- Releases -------------------------------------------------------------------------


@pytest.fixture
def release(tmp_path: Path, settings) -> Callable[[str], str]:
    """Gathers a release whose only file reads so, as ``collectstatic`` of the image and
    of the migrate service do; returns the address of its version."""
    source = tmp_path / "source"
    source.mkdir()
    settings.STATICFILES_DIRS = [source]
    settings.STATIC_ROOT = tmp_path / "static"
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {
            "BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
        }
    }

    def gather(style: str) -> str:
        (source / "site.css").write_text(style)
        call_command("collectstatic", interactive=False, verbosity=0)
        manifest = json.loads((settings.STATIC_ROOT / "staticfiles.json").read_text())
        return f"/static/{manifest['paths']['site.css']}"

    return gather


def test_the_files_of_the_release_before_are_still_served(release, settings) -> None:
    """FLT-37: a page that was open during the release asks for its own style."""
    old = release("a { color: red }")
    before = StaticFiles(django, settings.STATIC_ROOT, "/static/")
    assert ask(before, old)[2] == b"a { color: red }"
    new = release("a { color: blue }")
    assert new != old
    after = StaticFiles(django, settings.STATIC_ROOT, "/static/")
    for site in (before, after):
        assert ask(site, old)[2] == b"a { color: red }"
        assert ask(site, new)[2] == b"a { color: blue }"
    assert release("a { color: red }") == old
    back = StaticFiles(django, settings.STATIC_ROOT, "/static/")
    assert ask(back, new)[2] == b"a { color: blue }"


def test_a_file_that_nobody_has_gathered_is_not_served(site: StaticFiles, tmp_path):
    """Listed is what was there when the manifest was written, not what a path names."""
    (tmp_path / "static" / "late.css").write_text("late")
    assert ask(site, "/static/late.css")[2] == b"from Django"
