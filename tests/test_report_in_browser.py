"""A whole report in headless Chromium: links, keyboard, colours, print, and what axe-core says of it."""

from collections.abc import Iterator

import numpy as np
import pytest
from browser import chromium, opened, serious
from PIL import Image
from playwright.sync_api import Browser
from waiting import until

from shared.document import Block, Bullets, Grid, Heading, Paragraph, Picture
from shared.html import to_html
from shared.plots import Panel, Series, curves, image_sheet

PAGE: list[Block] = [
    Heading("Do synthetic images help?"),
    Paragraph("**Neither** benefit nor harm is shown; `classify study` and [a link](#the-photographs)."),
    Heading("The photographs", 2),
    Grid(
        ["Class", *(f"A column of figures {n}" for n in range(14))], [[f"row {n}", *["12.3"] * 14] for n in range(30)]
    ),
    Heading("Folded detail", 3),
    Paragraph("Seen in print."),
    Picture("p.png", "A red field"),
    Heading("The answer", 2),
    Bullets(["one", "two"]),
    *[Paragraph("A paragraph.")] * 30,
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    Image.new("RGB", (40, 20), "red").save(folder / "p.png")
    path = folder / "report.html"
    path.write_text(to_html(PAGE, folder=folder, made_by="`classify report`"), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of a picture with photographs, and of a chart."""
    folder = tmp_path_factory.mktemp("charts")
    image_sheet(folder / "sheet.png", [("real", np.full((20, 8, 8, 3), 90, np.uint8))])
    curves(folder / "curves.png", [Panel("loss", "epoch", "loss", [Series("a", [0, 1], [1, 0])])] * 3)
    blocks: list[Block] = [Heading("T"), Picture("sheet.png", "Skin"), Picture("curves.png", "A curve")]
    (folder / "p.html").write_text(to_html(blocks, folder=folder, made_by="x"), encoding="utf-8")
    return (folder / "p.html").as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_axe_finds_nothing_serious(browser: Browser, url: str, scheme: str, width: int) -> None:
    with opened(browser, url, color_scheme=scheme, viewport={"width": width, "height": 900}) as page:
        assert serious(page) == []
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # tables scroll, the page does not
        assert page.evaluate("[...document.images].every(each => each.naturalWidth === 40 && each.alt)")


def test_axe_would_find_something(browser: Browser) -> None:
    with opened(
        browser, "data:text/html,<html lang=en><title>x</title><img src=data:image/gif;base64,R0lGODlhAQABAAAAACw=>"
    ) as page:
        assert any(each.startswith("image-alt") for each in serious(page))


def test_every_link_leads_somewhere(browser: Browser, url: str) -> None:
    with opened(browser, url, viewport={"width": 1400, "height": 600}) as page:
        links = page.locator("nav a")
        assert links.all_inner_texts() == ["The photographs", "The answer"]
        for link in links.all():
            link.click()
            target = page.locator(page.evaluate("location.hash"))
            assert target.inner_text() == link.inner_text()
            inside = "hash => document.querySelector(hash).getBoundingClientRect().top < innerHeight"
            until(lambda: page.evaluate(inside, page.evaluate("location.hash")))  # noqa: B023 - waited for here


def test_the_list_of_sections_is_folded_where_there_is_no_room_beside_the_text(browser: Browser, url: str) -> None:
    with opened(browser, url, viewport={"width": 400, "height": 800}) as page:
        assert not page.locator("nav a").first.is_visible()
        page.locator("nav summary").click()
        page.locator("nav a").first.wait_for()
        page.set_viewport_size({"width": 1400, "height": 800})
        page.reload()
        assert page.locator("nav a").first.is_visible()
        assert not page.locator("nav summary").is_visible()


def test_the_keyboard_reaches_text_tables_and_detail(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the text"
        page.keyboard.press("Enter")
        until(lambda: page.evaluate("document.activeElement.id === 'main'"))
        reached = []
        for _ in range(4):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.localName"))
        assert reached[:3] == ["a", "div", "summary"]  # the link, the table that scrolls, the detail
        page.locator("main summary").focus()
        page.keyboard.press("Enter")
        assert page.locator("details p").is_visible()


def test_colours_follow_the_system_or_the_choice(browser: Browser, url: str) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, url, color_scheme="dark") as page:
        dark = page.evaluate(ground)
        page.get_by_label("Light").check()
        light = page.evaluate(ground)
        assert light != dark
        page.emulate_media(color_scheme="light")
        page.get_by_label("System").check()
        assert page.evaluate(ground) == light
        page.get_by_label("Dark").check()
        assert page.evaluate(ground) == dark


def test_charts_turn_dark_on_the_screen_and_photographs_do_not(browser: Browser, charts: str) -> None:
    shown = "[...document.images].map(each => getComputedStyle(each).filter)"
    with opened(browser, charts, color_scheme="dark") as page:
        turned = page.evaluate(shown)
        assert turned[0] == "none"
        assert turned[1].startswith("invert(0.88)")
        page.get_by_label("Light").check()
        assert page.evaluate(shown) == ["none", "none"]
        page.get_by_label("Dark").check()
        page.emulate_media(color_scheme="light")
        assert page.evaluate(shown) == turned
        page.emulate_media(media="print")
        assert page.evaluate(shown) == ["none", "none"]


def test_a_wide_chart_can_be_read_on_a_telephone(browser: Browser, charts: str) -> None:
    wide = "document.querySelector('.wide')"
    with opened(browser, charts, viewport={"width": 400, "height": 800}) as page:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate(f"{wide}.scrollWidth > 1.5 * {wide}.clientWidth")
        page.locator(".wide").focus()
        page.keyboard.press("ArrowRight")
        until(lambda: page.evaluate(f"{wide}.scrollLeft > 0"))
        assert serious(page) == []
        page.set_viewport_size({"width": 1400, "height": 800})
        assert page.evaluate(f"{wide}.scrollWidth === {wide}.clientWidth")


def test_print_unfolds_detail_and_leaves_out_what_is_of_the_screen(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        shown = "document.querySelector('details p').checkVisibility()"
        assert not page.evaluate(shown)
        page.emulate_media(media="print")
        assert page.evaluate(shown)
        assert not page.locator("nav").is_visible()
        assert len(page.pdf()) > 1000
