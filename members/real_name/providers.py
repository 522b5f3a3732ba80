"""The verifier that ``REAL_NAME_PROVIDER`` names, and the settings behind it."""

from __future__ import annotations

from django.conf import settings

from members.models import Verifier
from members.real_name.contract import RealNameProvider
from members.real_name.sandbox import Sandbox
from members.real_name.tencent import Tencent


def chosen() -> RealNameProvider | None:
    """None where nobody verifies names: what asks for one cannot be bought."""
    match settings.REAL_NAME_PROVIDER:
        case Verifier.SANDBOX:
            return Sandbox(f"{settings.REAL_NAME_SANDBOX_URL.rstrip('/')}/")
        case Verifier.TENCENT:
            return Tencent(
                url=settings.TENCENT_FACEID_URL.rstrip("/"),
                secret_id=settings.TENCENT_FACEID_SECRET_ID,
                secret_key=settings.TENCENT_FACEID_SECRET_KEY,
            )
    return None


def problems() -> list[str]:
    """What keeps the chosen verifier from working, each line naming its variable."""
    if settings.REAL_NAME_PROVIDER == Verifier.SANDBOX and settings.PRODUCTION:
        return ["REAL_NAME_PROVIDER: the sandbox in production"]
    if settings.REAL_NAME_PROVIDER != Verifier.TENCENT:
        return []
    return [
        f"{name}: empty, and REAL_NAME_PROVIDER is tencent"
        for name in ("TENCENT_FACEID_SECRET_ID", "TENCENT_FACEID_SECRET_KEY")
        if not getattr(settings, name)
    ]
