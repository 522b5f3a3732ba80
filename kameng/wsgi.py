from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from kameng.static_files import StaticFiles
from payments import gateways

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kameng.settings")

_CHARSET = re.compile(r";\s*charset\s*=[^;]*", re.IGNORECASE)


def reading_utf8(application: WSGIApplication) -> WSGIApplication:
    """Every request is UTF-8, whatever charset it claims.

    Django would believe the claim, and fail where the codec makes no text: ``hex``.
    """

    def call(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if content_type := environ.get("CONTENT_TYPE"):
            environ["CONTENT_TYPE"] = _CHARSET.sub("", content_type)
        return application(environ, start)

    return call


application = StaticFiles(
    reading_utf8(get_wsgi_application()), settings.STATIC_ROOT, settings.STATIC_URL
)

# Views and keys are loaded before the first visitor comes rather than while she waits.
gateways.available()
get_resolver().url_patterns  # noqa: B018 - a cached property
# What is loaded now stays for ever: the collector need not walk it again, which would
# hold every request up for a tenth of a second now and then.
gc.collect()
gc.freeze()
