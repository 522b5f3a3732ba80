"""The way back to where a shopper was when she decided to become a member.

A page signs its own path, the choice page carries it, and the session keeps it until
the membership is there. A path that this shop did not sign leads nowhere (security 28).
"""

from __future__ import annotations

from django.core import signing
from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

_SALT = "kameng.way-back"
_KEY = "way_back"
LONGEST = 200


def sign(path: str) -> str:
    return signing.Signer(salt=_SALT).sign(path)


def read(signed: str) -> str:
    """The path that we signed, empty for anything else."""
    try:
        path = signing.Signer(salt=_SALT).unsign(signed[:LONGEST])
    except signing.BadSignature:
        return ""
    here = path.startswith("/") and url_has_allowed_host_and_scheme(path, set())
    return path if here else ""


def keep(request: HttpRequest, order_no: str, path: str) -> None:
    """Remember where this order's buyer came from; an earlier way is forgotten."""
    if path:
        request.session[_KEY] = {"order": order_no, "path": path}


def after(request: HttpRequest, order_no: str) -> str:
    """Where the buyer of this order came from, empty where she did not say."""
    kept = request.session.get(_KEY) or {}
    return str(kept.get("path", "")) if kept.get("order") == order_no else ""
