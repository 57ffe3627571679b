"""Table 2 as a page: the layout of the paper, how sure its figures are, and what it shows in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classify.figures import CAPTIONS
from classify.page.beyond import beyond
from classify.page.checks import attributes, shortcuts
from classify.page.compared import compared
from classify.page.costs import costs, origin
from classify.page.rows import main_table, missing_table
from shared.document import Block, Heading, Paragraph, Picture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classify.tables import Table


def page(table: Table, pictures: Mapping[str, str]) -> list[Block]:
    """Return the whole page; `pictures` names the figure files that there are."""
    blocks: list[Block] = [
        Heading("Table 2: classifiers with and without synthetic images"),
        *(Paragraph(f"**{warning}**") for warning in table.warnings),
        *map(Paragraph, table.conclusion),
        Paragraph(
            "Test metrics in %. Ratios are synthetic:real. `n` counts test images of all folds together; ± is the "
            "sample standard deviation over folds, and one fold has none. The 95 % interval of the accuracy is "
            "Wilson's, or that of a bootstrap over patients or cases where these have several images and it is wider. "
            "`External right` counts an image once, though several models judged it: by the mean of their verdicts."
        ),
        main_table(table.rows),
        *compared(table.contrasts),
        *beyond(table),
        *shortcuts(table.rows),
        *attributes(table.rows),
        *(Picture(file, CAPTIONS[name]) for name, file in pictures.items()),
        *costs(table),
    ]
    if table.missing:
        blocks += [Paragraph("The paper's rows that were not run here:"), missing_table(table.missing)]
    return [*blocks, origin(table)]
