"""CSV files that open well in a spreadsheet, and do nothing there (security 73)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence

from django.http import HttpResponse

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
BOM = "\ufeff"
"""Without it Excel takes UTF-8 for the system's own encoding."""

type Cell = str | int | None


def cell(value: Cell) -> str:
    """A value as text; what a spreadsheet would carry out begins with an apostrophe."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def answer(
    name: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]
) -> HttpResponse:
    """A file to keep, which no cache does; every cell is quoted."""
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response["Cache-Control"] = "private, no-store"
    response.write(BOM)
    writer = csv.writer(response, quoting=csv.QUOTE_ALL)
    writer.writerow([cell(each) for each in header])
    writer.writerows([cell(each) for each in row] for row in rows)
    return response
