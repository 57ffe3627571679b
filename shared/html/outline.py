"""A flat page as sections and their folded details."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.document import Block, Heading
from shared.markdown import plain

SECTION, DETAIL = 2, 3  # levels of headings


@dataclass
class Part:
    """A heading's text, the blocks below it, and the parts of the next level; `anchor` is its name in links."""

    title: str
    anchor: str
    blocks: list[Block] = field(default_factory=list)
    details: list[Part] = field(default_factory=list)


@dataclass
class Outline:
    """A page: its title, what stands before the first section, and the sections."""

    title: str
    lead: list[Block]
    sections: list[Part]


def outline(blocks: Sequence[Block]) -> Outline:
    """Return the parts of a page that begins with its title; headings deeper than `DETAIL` stay among the blocks.

    Raises `ValueError`: it begins with something else.
    """
    match blocks:
        case [Heading(title, 1), *rest]:
            page = Outline(title, [], [])
        case _:
            raise ValueError("a page begins with its title")
    anchors: set[str] = set()
    here = page.lead
    for block in rest:
        match block:
            case Heading(text, level) if level <= SECTION:
                page.sections.append(Part(text, _anchor(text, anchors)))
                here = page.sections[-1].blocks
            case Heading(text, level) if level == DETAIL and page.sections:
                page.sections[-1].details.append(Part(text, _anchor(text, anchors)))
                here = page.sections[-1].details[-1].blocks
            case _:
                here.append(block)
    return page


def _anchor(text: str, taken: set[str]) -> str:
    """Return a name that no other part has: its words, and a number where they are not enough."""
    words = "-".join(re.findall(r"[a-z0-9]+", plain(text).lower())) or "part"
    name, number = words, 2
    while name in taken:
        name, number = f"{words}-{number}", number + 1
    taken.add(name)
    return name
