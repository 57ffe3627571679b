"""Table 2 as a page: the layout of the paper, how sure its figures are, and what it shows in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classify.table2.figures import caption_of
from classify.table2.page.beyond import beyond
from classify.table2.page.checks import attributes, shortcuts
from classify.table2.page.compared import compared
from classify.table2.page.costs import costs
from classify.table2.page.origin import origin
from classify.table2.page.rows import tested
from shared.document import Block, Heading, Paragraph, Picture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classify.table2.summary import Table


TITLE = "Table 2: classifiers with and without synthetic images"


def page(table: Table, pictures: Mapping[str, str]) -> list[Block]:
    """Return the whole page; `pictures` names the figure files that there are."""
    return [Heading(TITLE), *answer(table), *sections(table, pictures)]


def answer(table: Table) -> list[Block]:
    """Return what must be known first, and what the table shows, in plain words."""
    warnings = [Paragraph(f"**{warning}**") for warning in table.warnings]
    return [*warnings, Paragraph(f"**{table.headline}**"), *map(Paragraph, table.conclusion)]


def sections(table: Table, pictures: Mapping[str, str]) -> list[Block]:
    """Return the sections of the page, each with the figures that belong to it."""
    shown = {name: [Picture(file, caption_of(name, table))] for name, file in pictures.items()}
    return [
        *tested(table, shown.get("accuracy", [])),
        *compared(table.contrasts),
        *beyond(table, confusion=shown.get("confusion", []), reliability=shown.get("reliability", [])),
        *shortcuts(table.rows),
        *attributes(table.rows),
        *costs(table, shown.get("curves", [])),
        *origin(table),
    ]
