"""The console: Django's own admin with the shop's face and a front page of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from django.contrib import admin
from django.core.exceptions import NON_FIELD_ERRORS
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext_lazy as _

from kameng.http import SeeOther
from kameng.lookups import now_of
from members import staff, staff_key_views
from members.forms import StaffAuthenticationForm

SECTIONS = ("orders", "payments", "goods", "members", "notifications", "admin")
"""The apps in the order in which the work comes up; others follow."""


def place_of(app_label: str) -> int:
    return SECTIONS.index(app_label) if app_label in SECTIONS else len(SECTIONS)


@dataclass(frozen=True, slots=True)
class Tile:
    """A number on the front page; ``url`` leads to the list behind it.

    is_case  waits for a person, so that nought is the normal state
    """

    label: str
    count: int
    url: str
    is_case: bool = False


class Console(admin.AdminSite):
    """Staff only; what each role sees follows from its permissions."""

    site_title = _("控制台")
    site_header = _("控制台")
    index_title = _("总览")
    index_template = "console/front.html"
    login_template = "console/login.html"
    login_form = StaffAuthenticationForm

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The log-in page; 429 with the time while wrong passwords lock it."""
        response = super().login(request, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data:
            form = response.context_data["form"]
            if form.is_bound and form.has_error(NON_FIELD_ERRORS, "second"):
                return SeeOther(reverse("admin:second"))
            if form.is_bound and form.has_error(NON_FIELD_ERRORS, "locked"):
                name, now = form.cleaned_data.get("username") or "", now_of(request)
                until = staff.locked_until(request, name, now=now) or now
                response.status_code = 429
                response["Retry-After"] = str(ceil((until - now).total_seconds()))
        return response

    def get_urls(self) -> list[Any]:
        return [
            path("login/second/", staff_key_views.second, name="second"),
            path(
                "login/second/options/",
                staff_key_views.second_options,
                name="second-options",
            ),
            path("login/enrol/<str:token>/", staff_key_views.enrol, name="enrol"),
            *super().get_urls(),
        ]

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        tiles = self.tiles(request)
        cases = [tile for tile in tiles if tile.is_case]
        return super().index(
            request,
            {
                "cases": cases,
                "open_cases": sum(tile.count for tile in cases),
                "today": [tile for tile in tiles if not tile.is_case],
                **(extra_context or {}),
            },
        )

    def tiles(self, request: HttpRequest) -> list[Tile]:
        """What each list that this person may see reports for the front page."""
        reporting = [
            (model._meta.app_label, model_admin)
            for model, model_admin in self._registry.items()
            if isinstance(model_admin, Reporting)
            and model_admin.has_view_permission(request)
        ]
        reporting.sort(key=lambda each: place_of(each[0]))
        return [tile for _app, each in reporting for tile in each.tiles(request)]

    def get_app_list(
        self, request: HttpRequest, app_label: str | None = None
    ) -> list[Any]:
        """By section, and the models of one as they were registered."""
        apps = self._build_app_dict(request, app_label).values()
        return sorted(apps, key=lambda app: place_of(app["app_label"]))


class Reporting:
    """A model admin with numbers for the front page."""

    def tiles(self, request: HttpRequest) -> Sequence[Tile]:
        raise NotImplementedError
