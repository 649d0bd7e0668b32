"""The page in a browser: every way to move on it, both themes, a phone's width, and hostile problems."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import msgspec
import pytest

from explore.looked import NASTY, nasty, page_of
from unspoken.explore.page import write_page
from unspoken.explore.payload import Payload, Problem

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


class Opened:
    """A page in a browser, with everything it complained about."""

    def __init__(self, browser: Browser, path: Path, *, width: int, height: int, dark: bool, at: str) -> None:
        scheme = "dark" if dark else "light"
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url, path))
        self.page.goto(f"{path.as_uri()}{at}")

    def _asked(self, url: str, path: Path) -> None:
        if not url.startswith((path.as_uri(), "data:", "blob:")):
            self.complaints.append(f"asked for {url}")

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.inner_text()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def close(self) -> None:
        self.context.close()
        assert self.complaints == []


class Pages:
    """Opens payloads; nothing opened may have complained at the end."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self._browser, self._folder = browser, folder
        self._opened: list[Opened] = []

    def open(
        self, payload: Payload, *, width: int = 1280, height: int = 900, dark: bool = False, at: str = ""
    ) -> Opened:
        path = self._folder / f"{len(self._opened)}.html"
        write_page(path, payload)
        self._opened.append(Opened(self._browser, path, width=width, height=height, dark=dark, at=at))
        return self._opened[-1]

    def close(self) -> None:
        for opened in self._opened:
            opened.close()


@pytest.fixture
def pages(browser: Browser, tmp_path: Path) -> Iterator[Pages]:
    found = Pages(browser, tmp_path)
    yield found
    found.close()


def problem_at(opened: Opened) -> str:
    return opened.text("#problem-title").split("\n")[0].split(" of ")[0].strip()


def step_at(opened: Opened) -> str:
    return opened.text("#step-now").lower()


def fill_of(opened: Opened, name: str) -> float:
    """How strongly the node of a name is shaded, from 0 to 1."""
    found = opened.page.evaluate(
        """name => { const node = [...document.querySelectorAll(".graph .node")].find(each =>
            each.querySelector(".node-name").textContent.replace(/^[?✓✗] /, "") === name);
            return parseFloat(node.querySelector(".shade").style.fillOpacity); }""",
        name,
    )
    assert isinstance(found, float | int)
    return float(found)


def test_thoughts_are_stepped_through_in_four_ways(pages: Pages) -> None:
    """Buttons, slider, pearls and keys must show the same step, and the shading must be that step's values."""
    payload = page_of("bfs")
    opened = pages.open(payload)
    problem = payload.problems[0]
    assert problem.graph is not None

    def check(k: int) -> None:
        assert f"after {k} thought" in step_at(opened) if k else "before the first thought" in step_at(opened)
        assert opened.page.locator("#slider").input_value() == str(k)
        assert opened.page.locator(".pearl[aria-current]").get_attribute("data-k") == str(k)
        stop = problem.stops[k]
        assert problem.graph is not None and stop.values is not None
        for node, name in enumerate(problem.graph.names):
            assert fill_of(opened, name) == pytest.approx(stop.values[node] ** 0.5, abs=0.01)
        frontier = sum(hops == stop.hops for hops in problem.graph.hops)
        assert opened.page.locator(".graph .node.frontier").count() == frontier

    check(1)
    opened.page.locator("#forward").click()
    check(2)
    opened.press("ArrowLeft", "ArrowLeft")
    check(0)
    assert opened.page.locator("#back").is_disabled()
    opened.page.locator(".pearl").nth(3).click()
    check(3)
    opened.page.locator("#slider").focus()
    opened.press("ArrowLeft")
    check(2)
    opened.page.locator("#forward").focus()
    opened.press("Home")
    check(0)
    opened.press("End")
    check(3)


def test_problems_are_moved_through(pages: Pages) -> None:
    """List, buttons, arrow keys, search and filters must agree on which problem is next."""
    opened = pages.open(page_of("bfs"))
    assert problem_at(opened).startswith("Problem 1")
    opened.press("ArrowDown", "ArrowDown")
    assert problem_at(opened).startswith("Problem 3")
    opened.page.locator("#previous").click()
    assert problem_at(opened).startswith("Problem 2")
    opened.page.locator(".item").nth(6).click()
    assert problem_at(opened).startswith("Problem 7")
    assert opened.page.locator(".item[aria-current]").get_attribute("data-index") == "6"
    opened.press("/")
    opened.page.keyboard.type("12")
    assert "12" in opened.text(".item")
    assert opened.page.locator(".item").count() < 24
    opened.page.locator("#search").fill("")
    opened.page.locator("#filter").select_option(label="Wrong")
    assert opened.page.locator(".item").count() == 0
    assert "No problem fits" in opened.text("#list")
    opened.page.locator("#filter").select_option(label="Own question, the other's thoughts")
    assert opened.page.locator(".item").count() == 24
    opened.page.locator("#filter").select_option(label="no intervention")
    assert opened.page.locator(".item").count() == 0


def test_interventions_show_what_they_do(pages: Pages) -> None:
    """The answer under one intervention beside the name of another would be a false finding."""
    payload = page_of("bfs")
    opened = pages.open(payload)
    at = next(i for i, each in enumerate(payload.interventions) if each.name == "swapped-thoughts")
    row = opened.page.locator(".intervention", has_text="Own question, the other's thoughts")
    row.click()
    wrote = payload.problems[0].under[at]
    assert wrote is not None
    assert wrote.answer in row.inner_text() and "changed" in row.inner_text() and "0.0 %" in row.inner_text()
    assert wrote.text.strip() in opened.page.locator(".before-after pre").nth(1).inner_text()
    assert "under=swapped-thoughts" in opened.page.url
    opened.page.locator("#forward").focus()
    opened.press("i")
    assert opened.page.locator(f"#intervention-{at + 1}").is_checked()


def test_figures_can_be_saved(pages: Pages, tmp_path: Path) -> None:
    """A figure that is drawn by the page's styles is black on black in a file of its own, unless they go with it."""
    opened = pages.open(page_of("bfs"))
    buttons = opened.page.locator("button", has_text="SVG")
    assert buttons.count() == 5
    for i, name in enumerate(["problem-1-after-1", "accuracy", "classes", "value", "candidates"]):
        with opened.page.expect_download() as download:
            buttons.nth(i).click()
        assert download.value.suggested_filename == f"{name}.svg"
        download.value.save_as(tmp_path / "saved.svg")
        root = ElementTree.parse(tmp_path / "saved.svg").getroot()
        assert root.tag.endswith("svg") and float(root.attrib["width"]) > 100
        drawn = [each for each in root.iter() if each.tag.endswith(("rect", "path", "circle", "text", "line"))]
        assert len(drawn) > 15
        assert all("fill:" in each.attrib["style"] and "var(" not in each.attrib["style"] for each in drawn)


def test_the_address_points_at_what_is_shown(pages: Pages) -> None:
    """A link in a paper must open the problem, thought and intervention it was copied from."""
    opened = pages.open(page_of("bfs"), at="#problem=5&k=2&under=zero")
    assert problem_at(opened).startswith("Problem 5")
    assert "after 2 thoughts" in step_at(opened)
    assert opened.page.locator(".intervention.chosen").inner_text().startswith("Zero")
    strange = pages.open(page_of("bfs"), at="#problem=nine&k=-3&under=%00")
    assert problem_at(strange).startswith("Problem 1")


def test_themes_follow_the_system_and_the_switch(pages: Pages) -> None:
    """Dark text on dark ground, were one of the two ways to choose forgotten in the styles."""
    background = "getComputedStyle(document.body).backgroundColor"
    light, dark = pages.open(page_of("bfs")), pages.open(page_of("bfs"), dark=True)
    white, black = light.page.evaluate(background), dark.page.evaluate(background)
    assert white != black
    light.press("t", "t")
    assert light.page.evaluate(background) == black and "Dark" in light.text("#theme")
    dark.page.locator("#theme").click()
    assert dark.page.evaluate(background) == white and "Light" in dark.text("#theme")
    for opened in (light, dark):
        colours = opened.page.evaluate("""() => { const of = name => getComputedStyle(document.documentElement)
            .getPropertyValue(name).trim(); return ["--ink", "--muted", "--right", "--wrong", "--frontier-ink"]
            .map(name => [of(name), of("--surface")]); }""")
        for ink, ground in colours:
            assert contrast(ink, ground) >= 4.5, (ink, ground)


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two colours as #rrggbb."""

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_keys_are_told_and_the_focus_is_seen(pages: Pages) -> None:
    """Keys that nobody is told of are not there; a focus that is not seen is lost."""
    opened = pages.open(page_of("bfs"))
    opened.press("?")
    assert "previous or next problem" in opened.text("#keys")
    opened.press("ArrowRight")
    assert opened.page.locator("#slider").input_value() == "1", "keys move the page behind the dialog"
    opened.press("Escape")
    assert not opened.page.locator("#keys").is_visible()
    for _ in range(4):
        opened.press("Tab")
        style = opened.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert style == "solid", opened.page.evaluate("document.activeElement.outerHTML")
    unnamed = opened.page.evaluate("""() => [...document.querySelectorAll("button, input, select, svg[role=img]")]
        .filter(each => !(each.getAttribute("aria-label") || each.textContent.trim() || each.closest("label")))
        .map(each => each.outerHTML)""")
    assert unnamed == []


def test_a_phone_needs_no_sideways_scroll(pages: Pages) -> None:
    """At 390 pixels, nothing but the graph, which has a frame of its own, may be wider than the screen."""
    for payload in (page_of("bfs"), nasty()):
        opened = pages.open(payload, width=390, height=844)
        for key in ("", "ArrowRight", "i", "i"):
            if key:
                opened.press(key)
            assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert not opened.page.locator("#list").is_visible()
        opened.page.locator("#side-fold summary").click()
        assert opened.page.locator("#list").is_visible()


def test_hostile_text_stays_text(pages: Pages) -> None:
    """Problems come from files of others: nothing in them may run or become markup."""
    opened = pages.open(nasty())
    opened.page.locator("summary", has_text="The problem as the model reads it").click()
    assert opened.page.locator(".read").first.text_content() == NASTY
    assert opened.page.locator("#title").text_content() == NASTY
    assert opened.page.locator("img").count() == 0


def test_problems_without_graphs_have_a_page(pages: Pages) -> None:
    """Without graph there are no values; decoded tokens stand beside the steps, results marked."""
    payload = page_of("bfs")
    problems = tuple(without_graph(problem) for problem in payload.problems)
    opened = pages.open(msgspec.structs.replace(payload, problems=problems))
    assert "no graph" in opened.text(".chain")
    assert opened.page.locator(".graph").count() == 0
    assert opened.page.locator(".steps mark").all_inner_texts() == ["12", "121"]
    assert opened.page.locator(".chip.result").first.inner_text().split() == ["12", "0.75", "step", "1"]
    opened.press("ArrowRight")
    assert opened.page.locator(".lens li.now").inner_text().startswith("thought 2")


def without_graph(problem: Problem) -> Problem:
    """The problem as one of arithmetic."""
    stops = tuple(
        msgspec.structs.replace(stop, hops=None, values=None, breadth=None, decoded=((" 12", 0.75),), said=())
        for stop in problem.stops
    )
    return msgspec.structs.replace(
        problem, graph=None, stops=stops, steps=("<<3*4=12>>", "<<120+1=121>>"), results=(("12",), ("121",))
    )


@pytest.mark.parametrize("slots", [1, 4])
def test_methods_without_thoughts_have_a_page(pages: Pages, slots: int) -> None:
    """One stop, or written steps for stops, and no interventions."""
    payload = page_of("bfs")
    problems = tuple(
        msgspec.structs.replace(
            problem, stops=tuple(msgspec.structs.replace(s, decoded=()) for s in problem.stops[:slots]), under=()
        )
        for problem in payload.problems
    )
    opened = pages.open(
        msgspec.structs.replace(
            payload, slot="none" if slots == 1 else "step", after=payload.after[:slots], problems=problems,
            interventions=(), left_out=(), why_no_interventions="Nothing to change.",
        )
    )  # fmt: skip
    assert opened.page.locator(".stepper").is_visible() == (slots > 1)
    assert "Nothing to change." in opened.text("#interventions")
    opened.press("ArrowRight", "ArrowDown", "i")
    assert problem_at(opened).startswith("Problem 2")


def test_two_hundred_problems_open_in_two_seconds(pages: Pages) -> None:
    """All rows built at once, or figures redrawn for every problem, would make a page that stands still."""
    payload = page_of("bfs", copies=9)
    longer = tuple(
        msgspec.structs.replace(problem, question=problem.question + " lempus" * 300) for problem in payload.problems
    )
    payload = msgspec.structs.replace(payload, problems=longer)
    assert len(payload.problems) >= 200

    def timed() -> tuple[float, Opened]:
        started = time.perf_counter()
        opened = pages.open(payload)
        opened.page.locator(".graph").wait_for()
        return time.perf_counter() - started, opened

    # The fastest of a few: others work on this machine, too.
    seconds, opened = timed()
    for _ in range(4):
        if seconds >= 2:
            seconds, opened = timed()
    assert seconds < 2
    # Moving on is measured in the page itself, layout included.
    slowest = opened.page.evaluate("""() => {
        let most = 0;
        for (let i = 0; i < 20; i++) {
            const began = performance.now();
            const key = i % 2 ? "ArrowDown" : "ArrowRight";
            document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
            document.body.offsetHeight;
            most = Math.max(most, performance.now() - began);
        }
        return most;
    }""")
    assert slowest < 300
