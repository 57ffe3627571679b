"""A page in Markdown as data: the inverse of `shared.document.to_markdown`, and what our pages hold besides."""

from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

from shared.document import Block, Bullets, Grid, Heading, Paragraph, Picture
from shared.errors import UserError
from shared.files import require_file

MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")  # what looks like HTML is text


MAX_BYTES = 1 << 22  # of a page; ours have a hundredth of that


def read_page(path: Path) -> list[Block]:
    """Read a page that one of our commands wrote.

    Raises `UserError`: no such file, too large, no text, or of a form that our pages have not.
    """
    if require_file(path, "page").stat().st_size > MAX_BYTES:
        raise UserError(f"{path}: larger than any page of ours; give one that `synth` or `classify` wrote.")
    try:
        return from_markdown(path.read_text(encoding="utf-8"))
    except ValueError as error:
        problem = "is no text" if isinstance(error, UnicodeDecodeError) else str(error)
        raise UserError(f"{path}: {problem}; give a page that `synth` or `classify` wrote.") from error


def from_markdown(text: str) -> list[Block]:
    """Return the blocks of a page: headings, paragraphs, flat lists, tables, and pictures that stand alone.

    A picture's caption is its alternative text; where the paragraph below repeats it, that is left out.

    Raises `ValueError`: the page holds something else, which is named.
    """
    tokens = iter(MARKDOWN.parse(text))
    found: list[Block] = []
    for token in tokens:
        block = _block(token, tokens)
        if not (isinstance(block, Paragraph) and _is_caption(block, found)):
            found.append(block)
    return found


def to_html_inline(text: str) -> str:
    """Return running text with Markdown's marks as HTML; all else is escaped, and links to scripts stay text."""
    return str(MARKDOWN.renderInline(text))


def plain(text: str) -> str:
    """Return running text without Markdown's marks, for where no mark can stand."""
    (inline,) = MARKDOWN.parseInline(text)
    return "".join(" " if child.type == "softbreak" else child.content for child in inline.children or ()).strip()


def _block(token: Token, tokens: Iterator[Token]) -> Block:
    """Return the block that begins with a token, and take the others of it."""
    match token.type:
        case "heading_open":
            return Heading(_until("heading_close", tokens)[0].content, int(token.tag[1:]))
        case "paragraph_open":
            return _paragraph(_until("paragraph_close", tokens)[0])
        case "bullet_list_open":
            return Bullets([each.content for each in _until("bullet_list_close", tokens) if each.type == "inline"])
        case "table_open":
            return _grid(_until("table_close", tokens))
    raise ValueError(f"holds a {token.type.removesuffix('_open')} of Markdown, which our pages have not")


def _until(end: str, tokens: Iterator[Token]) -> list[Token]:
    """Take tokens up to one of the type `end`, which is taken too and left out."""
    return list(takewhile(lambda token: token.type != end, tokens))


def _paragraph(inline: Token) -> Paragraph | Picture:
    children = inline.children or []
    if len(children) == 1 and children[0].type == "image":
        return Picture(unquote(str(children[0].attrs["src"])), children[0].content)
    return Paragraph(inline.content)


def _is_caption(block: Paragraph, before: Sequence[Block]) -> bool:
    last = before[-1] if before else None
    return isinstance(last, Picture) and block.text == f"*{last.caption}*"


def _grid(tokens: Sequence[Token]) -> Grid:
    """Return a table; what stands on the right, and all behind it, are columns of figures."""
    rows: list[list[str]] = []
    right: list[bool] = []
    for before, token in pairwise(tokens):
        if before.type == "tr_open":
            rows.append([])
        if token.type == "inline":
            rows[-1].append(token.content)
            right += [before.attrs.get("style") == "text-align:right"] * (before.type == "th_open")
    return Grid(rows[0], rows[1:], right.index(True) if True in right else len(right))
