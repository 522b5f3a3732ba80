from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from members.models.people import Member


class Passkey(models.Model):
    """A public key with which a member signs in by fingerprint or face.

    credential_id  base64url, up to 1023 bytes by the standard
    user_handle    base64url of random bytes, the same for all passkeys of a member; the
                   device keeps it, so it must say nothing about her
    sign_count     nought for ever on keys that are synced between devices
    backup_eligible  may live on several devices; backed_up: does
    """

    member = models.ForeignKey(
        Member, on_delete=models.CASCADE, related_name="passkeys"
    )
    credential_id = models.CharField(max_length=1364, unique=True)
    user_handle = models.CharField(max_length=86)
    public_key = models.BinaryField()
    sign_count = models.PositiveBigIntegerField(default=0)
    transports = models.JSONField(default=list)
    backup_eligible = models.BooleanField(default=False)
    backed_up = models.BooleanField(default=False)
    name = models.CharField(max_length=40)
    created_at = models.DateTimeField(default=timezone.now)
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="passkey_is_named", condition=~Q(name="") & ~Q(user_handle="")
            )
        ]

    def __str__(self) -> str:
        return f"passkey #{self.pk}"
