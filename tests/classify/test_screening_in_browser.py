"""The screening page in headless Chromium: with and without its script, by keyboard, in both colours, by axe-core."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from browser import chromium, opened, serious
from playwright.sync_api import Browser, Page
from screened import fitted, guarded, on_a_socket, photograph

from shared.cohort import Cohort, read_cohort
from shared.splits import parts


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, make_cohort: Callable[..., Cohort]) -> Path:
    return fitted(tmp_path_factory.mktemp("served"), make_cohort)


@pytest.fixture(scope="module")
def url(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    feedback = tmp_path_factory.mktemp("feedback") / "answers.db"
    with guarded(model, feedback=feedback) as app, on_a_socket(app) as address:
        yield address


@pytest.fixture(scope="module")
def files(model: Path, url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Photographs on either side of the threshold, the first that the service does not turn away, and no photograph."""
    cohort = read_cohort(model.parent / "cohort.h5")
    folder = tmp_path_factory.mktemp("photographs")
    found: dict[str, Path] = {}
    for image in np.asarray(cohort.images[parts(cohort, 0).test]):
        content = photograph(image)
        name = httpx.post(f"{url}/api/v1/screen", files={"photo": content}).json()["verdict"]
        if name not in found:
            found[name] = folder / f"{name}.png"
            found[name].write_bytes(content)
        if {"above", "below"} <= found.keys():
            break
    (folder / "none.png").write_text("no picture")
    return found | {"no picture": folder / "none.png"}


def judged(page: Page, file: Path) -> str:
    page.set_input_files("#photo", file)
    page.get_by_role("button", name="Look at it").click()
    page.wait_for_selector("#result .card")
    return page.locator("#result").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [380, 400, 1200])
def test_a_photograph_is_judged_and_axe_finds_nothing_serious(
    browser: Browser, url: str, files: dict[str, Path], scheme: str, width: int
) -> None:
    with opened(browser, url, color_scheme=scheme, viewport={"width": width, "height": 900}) as page:
        assert serious(page) == []
        said = judged(page, files["above"])
        assert "looks to the model like herpeticum" in said
        assert "It cannot rule anything out." in said
        assert page.locator("#result img").count() == 2
        assert page.evaluate("document.activeElement.id") == "result"
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        narrowest = "Math.min(...[...document.querySelectorAll('dd')].map(each => each.clientWidth))"
        assert page.evaluate(narrowest) > width / 4  # and not a word a line
        shown = os.environ.get("RARESCREEN_SCREENSHOTS")
        if shown:
            page.screenshot(path=Path(shown) / f"screening_{scheme}_{width}.png", full_page=True)


def test_another_photograph_takes_the_place_of_the_first(browser: Browser, url: str, files: dict[str, Path]) -> None:
    with opened(browser, url) as page:
        judged(page, files["above"])
        page.set_input_files("#photo", files["below"])
        assert page.locator("#result .card").count() == 0  # nothing old stands beside a new picture
        page.locator("#preview").wait_for()  # visible as soon as it is decoded
        assert "That does not rule it out" in judged(page, files["below"])


def test_what_is_no_photograph_is_said_in_the_page(browser: Browser, url: str, files: dict[str, Path]) -> None:
    with browser.new_context() as session:  # the refusal is an answer of 400, which the console reports
        page = session.new_page()
        page.goto(url)
        page.set_input_files("#photo", files["no picture"])
        page.locator("#preview").wait_for(state="hidden")  # and no broken picture
        assert "The photograph cannot be read" in judged(page, files["no picture"])


def test_a_file_can_be_dropped(browser: Browser, url: str, files: dict[str, Path]) -> None:
    with opened(browser, url) as page:
        content = list(files["above"].read_bytes())
        transfer = page.evaluate_handle(
            "bytes => { const held = new DataTransfer();"
            " held.items.add(new File([new Uint8Array(bytes)], 'p.png', {type: 'image/png'})); return held; }",
            content,
        )
        page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
        page.locator("#preview").wait_for()  # visible as soon as it is decoded
        page.get_by_role("button", name="Look at it").click()
        page.wait_for_selector("#result .card.above")


def test_a_telephone_takes_a_photograph_or_offers_its_own(browser: Browser, url: str, files: dict[str, Path]) -> None:
    """One button opens the camera at once; the other leaves the choice, so it must not say `capture`."""
    telephone = {"viewport": {"width": 400, "height": 800}, "has_touch": True, "is_mobile": True}
    with opened(browser, url, **telephone) as page:
        assert serious(page) == []
        for choose, capture in (("button", "environment"), ("label", None), ("button", "environment")):
            with page.expect_file_chooser() as chooser:
                if choose == "button":
                    page.locator("#camera").tap()
                else:
                    page.locator("#photo").tap()
                assert page.locator("#photo").get_attribute("capture") == capture
        chooser.value.set_files(files["above"])
        page.locator("#preview").wait_for()  # visible as soon as it is decoded
        page.get_by_role("button", name="Look at it").tap()
        page.wait_for_selector("#result .card.above")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shown = os.environ.get("RARESCREEN_SCREENSHOTS")
        if shown:
            page.screenshot(path=Path(shown) / "screening_telephone.png", full_page=True)
    with opened(browser, url) as page:  # a desk has no camera to open
        assert not page.locator("#camera").is_visible()


def test_it_works_without_the_script_and_by_keyboard(browser: Browser, url: str, files: dict[str, Path]) -> None:
    with opened(browser, url, java_script_enabled=False) as page:
        page.set_input_files("#photo", files["above"])
        page.get_by_role("button", name="Look at it").press("Enter")
        page.wait_for_selector("#result .card.above")
        assert not page.locator("#camera").is_visible()
        assert not page.locator("#feedback").is_visible()  # without the script its answers would stand in an address


def test_feedback_is_given_with_consent(browser: Browser, url: str) -> None:
    sent: list[str] = []
    with opened(browser, url) as page:
        page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
        page.locator("summary", has_text="What do you think").click()
        page.get_by_label("patient").check()
        for fieldset in page.locator(".scale").all():
            fieldset.get_by_label("4").check()
        page.get_by_label("Anything else").fill("Clear.")
        page.get_by_role("button", name="Send").click()
        assert page.locator("[name=consent]:invalid").count() == 1  # the browser wants it first
        assert sent == []
        page.get_by_label("I agree").check()
        page.get_by_role("button", name="Send").click()
        page.get_by_text("Thank you. Your receipt:").wait_for()
        assert sent == [f"{url}/api/v1/feedback"]


def test_a_service_that_is_gone_is_said(browser: Browser, model: Path, files: dict[str, Path]) -> None:
    with browser.new_context() as session:
        page = session.new_page()
        with guarded(model) as app, on_a_socket(app) as address:
            page.goto(address)
        page.set_input_files("#photo", files["above"])
        page.get_by_role("button", name="Look at it").click()
        page.wait_for_selector("#result .card")
        assert "cannot be reached. Nothing was judged." in page.locator("#result").inner_text()
