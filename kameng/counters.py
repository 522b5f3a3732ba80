"""Counts of events that leave no row, for ``/metrics``; kept in the cache.

Losing the cache sets them back to nought, which Prometheus understands. An event that
cannot be counted is no reason to fail.
"""

from __future__ import annotations

from django.core.cache import cache

REFUSED_NOTICES = "refused-notices"
"""Notices whose signature does not hold, by gateway."""


def count(name: str, label: str) -> None:
    """Count one event, atomically over all processes."""
    from redis.exceptions import RedisError  # slow to load: not at the start

    key = _key(name, label)
    try:
        cache.add(key, 0, timeout=None)
        cache.incr(key)
    except (RedisError, OSError, ValueError):  # ValueError: evicted in between
        pass


def read(name: str, label: str) -> int | None:
    """How often it was counted; None while the cache is away."""
    from redis.exceptions import RedisError

    try:
        return int(cache.get(_key(name, label), 0))
    except (RedisError, OSError):
        return None


def _key(name: str, label: str) -> str:
    return f"count:{name}:{label}"
