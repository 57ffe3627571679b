"""Pages as one HTML file: whole, without scripts, with every text as it stands."""

import base64
import hashlib
import html
import io
import re
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import shared.html
from shared.document import Block, Bullets, Grid, Heading, Paragraph, Picture
from shared.errors import UserError
from shared.html import to_html
from shared.html.outline import outline
from shared.html.pictures import DENSITIES, Density, embed
from shared.html.report import require_new_report, write_report
from shared.plots import HeatBlock, HeatTile, Panel, Series, curves, heat_sheet, image_sheet

PAGE: list[Block] = [
    Heading("A *title*"),
    Paragraph("First **of all**"),
    Heading("Part", 2),
    Paragraph("plain"),
    Grid(["Row", "n"], [["x", "1"], ["<y>", "2"]]),
    Heading("More", 3),
    Bullets(["one", "two"]),
    Heading("Part", 2),
    Picture("p.png", "What is *seen*"),
]


class Seen(HTMLParser):
    """What a page holds: its tags in order, their attributes, and the text in each kind of tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: dict[str, list[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in self.open:
            self.text.setdefault(tag, []).append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("RGB", (40, 20), "red").save(tmp_path / "p.png")
    return tmp_path


def test_the_page_has_its_sections_details_tables_and_pictures(folder: Path) -> None:
    seen = Seen(to_html(PAGE, folder=folder, made_by="`x`"))
    assert not seen.open  # every tag is closed, in order
    assert "".join(seen.text["title"]) == "A title"
    assert [a["href"] for a in seen.of("a")] == ["#main", "#part", "#part-2"]
    assert [h["id"] for h in seen.of("h2")] == ["part", "part-2"]
    assert [s["aria-labelledby"] for s in seen.of("section")] == ["part", "part-2"]
    assert [each.strip() for each in seen.text["summary"] if each.strip()] == ["Sections", "More"]
    assert [text for text in seen.text["li"] if text in ("one", "two")] == ["one", "two"]
    assert [text.strip() for text in seen.text["tbody"] if text.strip()] == ["x", "1", "<y>", "2"]
    assert [cell.get("scope") for cell in seen.of("th")] == ["col", "col", "row", "row"]
    (picture,) = seen.of("img")
    assert (picture["width"], picture["height"], picture["alt"]) == ("40", "20", "What is seen")


def test_it_needs_nothing_else_and_forbids_what_could_be_brought_in(folder: Path) -> None:
    text = to_html([*PAGE, Paragraph("<script>alert(1)</script> [x](javascript:y)")], folder=folder, made_by="x")
    seen = Seen(text)
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in seen.tags}
    assert all(not name.startswith("on") for _, attrs in seen.tags for name in attrs)
    assert all(str(attrs.get("src", "data:")).startswith("data:image/webp;base64,") for attrs in seen.of("img"))
    assert "<script>alert(1)</script>" in "".join(seen.text["p"])
    (policy,) = [meta["content"] for meta in seen.of("meta") if "http-equiv" in meta]
    style = re.search("<style>(.*)</style>", text, re.DOTALL)
    assert style is not None
    assert "&" not in style[1]  # nothing of it was escaped
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy is not None
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")


def test_the_same_page_gives_the_same_bytes(folder: Path) -> None:
    first, second = (to_html(PAGE, folder=folder, made_by="x") for _ in range(2))
    assert first == second


def test_what_stands_before_a_detail_without_a_section_is_not_lost() -> None:
    page = outline([Heading("T"), Heading("Deep", 3), Paragraph("a"), Heading("S", 2), Heading("Deeper", 4)])
    assert page.lead == [Heading("Deep", 3), Paragraph("a")]
    assert page.sections[0].blocks == [Heading("Deeper", 4)]
    with pytest.raises(ValueError, match="begins with its title"):
        outline([Paragraph("x")])


def decoded(path: Path, density: Density = DENSITIES[0]) -> Image.Image:
    uri = embed(path, density).uri
    return Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/webp;base64,")))).convert("RGB")


def test_charts_keep_every_pixel_and_photographs_nearly(tmp_path: Path) -> None:
    chart = np.zeros((60, 80, 3), np.uint8)
    chart[::7] = (200, 10, 90)
    Image.fromarray(chart).save(tmp_path / "chart.png")
    assert np.array_equal(np.asarray(decoded(tmp_path / "chart.png")), chart)
    x = np.linspace(0, 255, 128)
    photo = np.stack([np.add.outer(x, x) / 2, np.outer(x, x) / 255, 255 - np.add.outer(x, x) / 2], -1).astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    change = np.asarray(decoded(tmp_path / "photo.png")).astype(int) - photo
    assert 0 < np.abs(change).mean() < 3
    assert decoded(tmp_path / "photo.png", Density(50, 60)).size == (50, 50)


def test_charts_are_told_from_what_holds_photographs(tmp_path: Path) -> None:
    """By their files: photographs of few colours must keep these in the dark, too."""
    pixels = np.zeros((2, 8, 8, 3), np.uint8)
    image_sheet(tmp_path / "sheet.png", [("x", pixels)])
    heat_sheet(
        tmp_path / "heat.png",
        [HeatBlock("x", [HeatTile(pixels[0], np.ones((8, 8)), "x")])],
        title="x",
        subtitle="x",
        legend=("x", "x"),
    )
    curves(tmp_path / "curves.png", [Panel("x", "x", "x", [Series("x", [0, 1], [0, 1])])])
    found = {name: embed(tmp_path / f"{name}.png").is_chart for name in ("sheet", "heat", "curves")}
    assert found == {"sheet": False, "heat": False, "curves": True}
    page = to_html([Heading("T"), Picture("sheet.png", "s"), Picture("curves.png", "c")], folder=tmp_path, made_by="x")
    views = [str(attrs["class"]).split() for attrs in Seen(page).of("div") if "view" in str(attrs.get("class"))]
    assert ["chart" in each for each in views] == [False, True]


def test_large_pages_get_smaller_pictures_and_too_large_ones_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1500, 2700, 3), np.uint8)
    Image.fromarray(noise).save(folder / "p.png")
    assert shared.html.MAX_BYTES == 10e6  # as mail counts
    whole = len(to_html(PAGE, folder=folder, made_by="x"))
    monkeypatch.setattr("shared.html.MAX_BYTES", whole - 1)
    smaller = to_html(PAGE, folder=folder, made_by="x")
    assert len(smaller) < whole
    assert [img["width"] for img in Seen(smaller).of("img")] == ["1800"]
    monkeypatch.setattr("shared.html.MAX_BYTES", 2000)
    with pytest.raises(UserError, match=r"the report would have .* leave a part out"):
        to_html(PAGE, folder=folder, made_by="x")


def test_pictures_that_are_none_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_text("no picture")
    with pytest.raises(UserError, match=r"p\.png: not a picture that can be read; make it again"):
        embed(tmp_path / "p.png")
    with pytest.raises(UserError, match="no such file"):
        embed(tmp_path / "q.png")
    Image.new("1", (1 << 13, (1 << 13) + 1)).save(tmp_path / "large.png")
    with pytest.raises(UserError, match="8192 x 8193 px are too many"):
        embed(tmp_path / "large.png")


def test_a_report_is_a_new_html_file_that_names_its_command(folder: Path) -> None:
    write_report(folder / "r.html", PAGE, folder=folder, command="synth report <x>")
    text = (folder / "r.html").read_text()
    assert html.escape("synth report <x>") in text
    with pytest.raises(UserError, match="exists already"):
        require_new_report(folder / "r.html", force=False)
    require_new_report(folder / "r.html", force=True)
    with pytest.raises(UserError, match=r"not an HTML file; give a name that ends in \.html"):
        require_new_report(folder / "r.pdf", force=False)


def test_a_damaged_picture_is_one_sentence(tmp_path: Path) -> None:
    """Whatever is cut off, and whichever byte of the header is another one."""
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "p.png")
    whole = (tmp_path / "p.png").read_bytes()
    header = 33  # signature and IHDR
    damaged = [whole[:length] for length in range(len(whole) - 12)]  # the last chunk says no more than that it ends
    damaged += [whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :] for place in range(header)]
    short = struct.pack(">I", 5) + b"IHDR" + bytes(5)
    damaged.append(whole[:8] + short + struct.pack(">I", zlib.crc32(short[4:])) + whole[header:])
    refused = []
    for content in damaged:
        (tmp_path / "d.png").write_bytes(content)
        try:
            embed(tmp_path / "d.png")
        except UserError as error:
            refused.append(str(error))
    assert len(refused) > 0.9 * len(damaged)
    assert all(re.search("not a picture that can be read|are too many for a page", each) for each in refused)
