"""The English catalogue: complete, fresh, compiled."""

from __future__ import annotations

import gettext
import importlib.util
from types import ModuleType

import pytest
from django.conf import settings


@pytest.fixture(scope="module")
def messages() -> ModuleType:
    path = settings.BASE_DIR / "locale/messages.py"
    spec = importlib.util.spec_from_file_location("messages", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_catalogue_holds_the_texts_of_today(messages: ModuleType) -> None:
    """Run bin/messages when this fails."""
    stored = {(each.id, each.context) for each in messages.stored() if each.id}
    assert stored == set(messages.extracted())


def test_everything_is_translated_with_the_same_placeholders(
    messages: ModuleType,
) -> None:
    assert list(messages.complaints(messages.stored())) == []


def test_the_compiled_catalogue_is_fresh(messages: ModuleType) -> None:
    with messages.MO.open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    stored = list(messages.stored())
    assert len(stored) > 1_000
    for each in stored:
        if not each.id:
            continue
        ids = messages.forms(each.id)
        found = [
            compiled.ngettext(ids[0], ids[-1], n)
            if len(ids) > 1
            else compiled.gettext(ids[0])
            for n, _ in enumerate(ids, 1)
        ]
        assert found == list(messages.forms(each.string))


def test_no_chinese_is_left_in_english(messages: ModuleType) -> None:
    names = {"简体中文", "【卡盟】"}  # a language's own name, the SMS signature
    stored = list(messages.stored())
    assert len(stored) > 1_000
    for each in stored:
        for word in messages.forms(each.string):
            assert word in names or not any("㐀" <= sign <= "鿿" for sign in word)
