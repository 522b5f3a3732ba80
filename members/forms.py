from __future__ import annotations

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from kameng.templatetags.shop import time_to_wait
from members import staff, staff_key
from members.models import Member


class StaffAuthenticationForm(AdminAuthenticationForm):
    """The console's log-in; says when to come back after too many wrong passwords."""

    def confirm_login_allowed(self, user: Member) -> None:
        """A right password is half of it where a second factor is asked for."""
        super().confirm_login_allowed(user)
        if self.request is not None and staff_key.is_required(user):
            now = staff.moment_of(self.request)
            staff_key.wait_for(self.request, user, now=now)
            raise ValidationError("", code="second")

    def get_invalid_login_error(self) -> ValidationError:
        """The same words for wrong, unknown and closed; the lock is told by name and
        address alone, so it betrays no account either."""
        now = staff.moment_of(self.request)
        username = self.cleaned_data.get("username") or ""
        locked = staff.locked_until(self.request, username, now=now)
        if locked is None:
            return ValidationError(_("账号或密码不对"), code="invalid_login")
        words = _("试得太多了，{t}后再来").format(t=time_to_wait(locked, now))
        return ValidationError(words, code="locked")
