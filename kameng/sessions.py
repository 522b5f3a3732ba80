"""Sessions in the database, for keys that it could have made."""

from __future__ import annotations

import re

from django.contrib.sessions.backends import db

_FORM = re.compile(r"[0-9a-z]{8,40}")


class SessionStore(db.SessionStore):
    def _validate_session_key(self, key: str | None) -> bool:
        """Anything else is no session: PostgreSQL stumbles over a NUL in a cookie."""
        return key is not None and _FORM.fullmatch(key) is not None
