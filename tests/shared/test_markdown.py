"""Pages in Markdown, read back as the data that they were."""

import html
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.document import Block, Bullets, Grid, Heading, Paragraph, Picture, escaped, moved, to_markdown
from shared.errors import UserError
from shared.markdown import from_markdown, plain, read_page, to_html_inline

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], include_characters=" "), max_size=40)
LINE = st.lists(st.sampled_from(["abc", "xyz", "12", "*so*", "`it`", "**is**"]), min_size=1, max_size=5).map(
    lambda words: "a " + " ".join(words)
)


def grids() -> st.SearchStrategy[Grid]:
    return st.tuples(st.integers(1, 4), st.integers(0, 3)).flatmap(
        lambda shape: st.builds(
            Grid,
            st.lists(LINE, min_size=shape[0], max_size=shape[0]),
            st.lists(st.lists(LINE, min_size=shape[0], max_size=shape[0]), max_size=shape[1]),
            st.integers(0, shape[0]),
        )
    )


BLOCK: st.SearchStrategy[Block] = st.one_of(
    st.builds(Heading, LINE, st.integers(1, 4)),
    st.builds(Paragraph, LINE),
    st.builds(Picture, st.sampled_from(["p.png", "../a b/c#d.png", "é.png"]), LINE),
    grids(),
)


@given(st.lists(BLOCK, max_size=6), st.booleans())
def test_a_page_comes_back_as_it_was(blocks: list[Block], listed: bool) -> None:
    page = [*blocks, *[Bullets(["one", "two *and* more"])] * listed]
    assert from_markdown(to_markdown(page)) == page


@given(TEXT)
def test_an_escaped_text_is_read_as_it_stands(text: str) -> None:
    """Whatever a file holds, none of its marks has an effect: in running text, in a cell, as HTML."""
    words = " ".join(text.split())
    assert plain(escaped(text)) == words
    assert to_html_inline(escaped(text)) == html.escape(words, quote=True).replace("&#x27;", "'")
    (grid,) = from_markdown(to_markdown([Grid(["a", "b"], [["x", escaped(text)]], 1)]))
    assert isinstance(grid, Grid)
    assert plain(grid.rows[0][1]) == words


def test_what_looks_like_html_is_text_and_no_link_runs_a_script() -> None:
    assert to_html_inline("a <b onload=x> & *c*") == "a &lt;b onload=x&gt; &amp; <em>c</em>"
    assert "<a" not in to_html_inline("[x](javascript:alert(1))")
    assert to_html_inline("[x](https://e.org)") == '<a href="https://e.org">x</a>'
    assert from_markdown("<script>x</script>\n") == [Paragraph("<script>x</script>")]


def test_a_caption_below_its_picture_is_not_said_twice() -> None:
    assert from_markdown("![a](p.png)\n\n*a*\n\nb\n") == [Picture("p.png", "a"), Paragraph("b")]
    assert from_markdown("![a](p.png)\n\n*b*\n") == [Picture("p.png", "a"), Paragraph("*b*")]


def test_pictures_of_a_moved_page_stay_where_they_are(tmp_path: Path) -> None:
    page = [Heading("T"), Picture("sub/p.png", "c")]
    assert moved(page, tmp_path / "a", tmp_path / "b" / "c") == [Heading("T"), Picture("../../a/sub/p.png", "c")]


def test_a_page_may_not_show_pictures_from_elsewhere(tmp_path: Path) -> None:
    """Neither by a path that leads out of its folder nor by a link there."""
    (tmp_path / "a").mkdir()
    (tmp_path / "secret.png").touch()
    (tmp_path / "a" / "link.png").symlink_to(tmp_path / "secret.png")
    for file in ("../secret.png", str(tmp_path / "secret.png"), "link.png", "sub/../../secret.png"):
        with pytest.raises(UserError, match="lies elsewhere"):
            moved([Picture(file, "c")], tmp_path / "a", tmp_path)
        assert moved([Picture(file, "c")], tmp_path / "a", tmp_path, within=tmp_path) == [Picture("secret.png", "c")]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"# T\n\n```\nx\n```\n", "holds a fence of Markdown, which our pages have not"),
        (b"1. one\n", "holds a ordered_list of Markdown"),
        (b"\xff\xfe", "is no text"),
        (b"a" * (1 << 22) + b"a", "larger than any page of ours"),
    ],
)
def test_a_page_that_is_none_of_ours_is_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "p.md").write_bytes(content)
    with pytest.raises(UserError) as error:
        read_page(tmp_path / "p.md")
    assert sentence in str(error.value)
    assert "give " in str(error.value)
