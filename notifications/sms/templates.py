"""Templates as the providers approved them, read from the settings' JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured


class Unfillable(Exception):
    """No template for this kind, or a parameter of it is missing; says which."""


@dataclass(frozen=True, slots=True)
class Template:
    """``params`` in the provider's order."""

    id: str
    params: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Templates:
    by_kind: Mapping[str, Template]

    def fill(self, kind: str, words: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """The template's id and its parameters, in order; raises ``Unfillable``."""
        template = self.by_kind.get(kind)
        if template is None:
            raise Unfillable(f"no template {kind}")
        missing = [name for name in template.params if not words.get(name)]
        if missing:
            raise Unfillable(f"{kind} without {', '.join(missing)}")
        return template.id, {name: words[name] for name in template.params}


def parse(variable: str, value: str) -> Templates:
    """Read ``{kind: {"id": …, "params": [names in order]}}``; "" has no templates.

    Raises ``ImproperlyConfigured`` naming the variable.
    """
    try:
        entries = json.loads(value or "{}")
        return Templates(
            {kind: _template(entry) for kind, entry in entries.items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ImproperlyConfigured(
            f'{variable}: expected JSON like {{"code": {{"id": "…", '
            f'"params": ["code", "minutes"]}}}} ({error})'
        ) from None


def _template(entry: Mapping[str, object]) -> Template:
    number, params = entry["id"], entry.get("params", [])
    if not isinstance(number, str | int) or not isinstance(params, list):
        raise TypeError("id must be text and params a list of names")
    return Template(str(number), tuple(str(name) for name in params))
