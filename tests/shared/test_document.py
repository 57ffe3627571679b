"""Pages as data, and as Markdown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.document import Grid, Heading, Paragraph, Picture, to_markdown

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=8)


def test_each_kind_of_block_is_markdown_with_a_line_between() -> None:
    page = [Heading("Title"), Heading("Part", 2), Paragraph("*So* it is."), Grid(["a", "b"], [["x", "1"]]),
            Picture("p.png", "What is seen")]  # fmt: skip
    assert to_markdown(page) == (
        "# Title\n\n## Part\n\n*So* it is.\n\n| a | b |\n| --- | ---: |\n| x | 1 |\n\n"
        "![What is seen](p.png)\n\n*What is seen*\n"
    )


@given(st.lists(st.lists(TEXT, min_size=3, max_size=3), max_size=4))
def test_whatever_a_cell_holds_it_stays_one(rows: list[list[str]]) -> None:
    """Bars within cells are escaped, so what is left of them divides three columns."""
    lines = to_markdown([Grid(["one", "two", "three"], rows, left=2)]).strip("\n").split("\n")
    assert len(lines) == 2 + len(rows)
    assert lines[1] == "| --- | --- | ---: |"
    for line in lines:
        assert line.replace("\\|", "").count("|") == 4


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="more cells than columns, or fewer"):
        Grid(["a", "b"], [["1"]])


def test_an_end_of_line_in_a_cell_is_a_space() -> None:
    assert "| a b |" in to_markdown([Grid(["x"], [["a\nb"]])])
