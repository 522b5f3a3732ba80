from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _asleep(asleep: None) -> None:
    """No worker runs beside a test."""
