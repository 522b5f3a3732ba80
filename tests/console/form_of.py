"""A page's form as a browser would send it back untouched."""

from __future__ import annotations

from html.parser import HTMLParser

from django.test import Client


class _Fields(HTMLParser):
    """Collects the successful controls of one form."""

    def __init__(self, form_id: str) -> None:
        super().__init__()
        self.form_id = form_id
        self.inside = False
        self.values: dict[str, str] = {}
        self.select: str | None = None
        self.textarea: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.inside = given.get("id") == self.form_id
        if not self.inside:
            return
        name = given.get("name", "")
        kind = given.get("type")
        if tag == "input" and name and kind == "checkbox":
            if "checked" in given:
                self.values[name] = given.get("value", "on")
        elif tag == "input" and name and kind != "submit":
            self.values[name] = given.get("value", "")
        elif tag == "select":
            self.select = name
        elif tag == "option" and self.select and "selected" in given:
            self.values[self.select] = given["value"]
        elif tag == "textarea":
            self.textarea = name
            self.values[name] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.inside = False
        elif tag == "select":
            self.select = None
        elif tag == "textarea":
            self.textarea = None

    def handle_data(self, data: str) -> None:
        if self.textarea:
            self.values[self.textarea] += data


def form_of(client: Client, url: str) -> dict[str, str]:
    """The fields of the admin form at ``url``, by name."""
    page = client.get(url)
    assert page.status_code == 200
    model = url.split("/")[-3] if url.endswith("/add/") else url.split("/")[-4]
    reader = _Fields(f"{model}_form")
    reader.feed(page.content.decode())
    return reader.values
