"""A change of ``DATA_KEYS``: every sealed row comes under the new first key."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db import IntegrityError, transaction

from goods import sealing
from goods.models import CardKey, KeyBatch

EXAMPLES = 5


@dataclass(slots=True)
class Resealed:
    resealed: int = 0
    failed: int = 0
    examples: list[int] = field(default_factory=list)


def reseal_all() -> Resealed:
    """Seal keys and open imports anew; row by row, so that sales hardly notice.

    Each row is changed only if it still holds what was read, and may be done twice.
    """
    done = Resealed()
    for batch in KeyBatch.objects.exclude(content="").iterator():
        content = sealing.seal(sealing.unseal(batch.content))
        KeyBatch.objects.filter(pk=batch.pk, content=batch.content).update(
            content=content
        )
    for key in CardKey.objects.order_by("pk").only("pk", "secret").iterator():
        if _reseal(key):
            done.resealed += 1
        else:
            done.failed += 1
            done.examples = [*done.examples, key.pk][:EXAMPLES]
    return done


def _reseal(key: CardKey) -> bool:
    try:
        secret = sealing.unseal(key.secret)
        with transaction.atomic():  # a twin under the new digest refuses this one alone
            CardKey.objects.filter(pk=key.pk, secret=key.secret).update(
                secret=sealing.seal(secret), digest=sealing.digest(secret)
            )
    except (sealing.CannotOpen, IntegrityError):
        return False
    return True
