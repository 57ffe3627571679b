"""Tables of made-up records for tests, and their cells parsed back from Markdown."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from classify.table2.page import page
from classify.table2.summary import Table, summarize
from classify.tables import write_table
from shared.document import to_markdown
from shared.records import append_record


def grids(markdown: str) -> list[list[dict[str, str]]]:
    """Return each table of a document as rows of cells by column; of columns with one name the first counts."""
    found = []
    for grid in re.findall(r"(?:^\|.*\|\n?)+", markdown, re.MULTILINE):
        header, rule, *rows = (
            [cell.strip() for cell in line.strip("|").split("|")] for line in grid.strip().split("\n")
        )
        assert set("".join(rule)) <= set("-:")
        assert {len(row) for row in rows} == {len(header)}
        found.append([dict(reversed(list(zip(header, row, strict=True)))) | {"*": "|".join(header)} for row in rows])
    return found


def grid(markdown: str, column: str) -> list[dict[str, str]]:
    """Return the one table that has a column of this name."""
    (found,) = (rows for rows in grids(markdown) if column in rows[0])
    return found


def shown(*records: dict[str, Any], **options: Any) -> tuple[str, Table]:
    """Return the Markdown of a table without pictures, and the table."""
    table = summarize(records, command="classify table", **options)
    return to_markdown(page(table, {})), table


def written(tmp_path: Path, records: list[dict[str, Any]], **options: Any) -> tuple[str, dict[str, Any]]:
    for each in records:
        append_record(tmp_path / "r.jsonl", each)
    write_table([tmp_path / "r.jsonl"], out=tmp_path / "t.md", force=True, **options)
    return (tmp_path / "t.md").read_text(), json.loads((tmp_path / "t.json").read_text(), parse_constant=pytest.fail)
