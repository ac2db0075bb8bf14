"""The page in a browser: headless Chromium, driven by Selenium. Skipped where there is no Chromium with its driver."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from keras_cnn.report.html import write_report

PATIENCE = 30  # seconds; a loaded machine takes a few to unpack the charts
FLAGS = ("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking", "disable-sync")
WIDTHS = {"phone": (360, 740), "desktop": (1280, 900)}


class Browser:
    """A page in Chromium, with what it asked the network for and what it said on the console."""

    def __init__(self, driver: webdriver.Chrome):
        self.driver = driver
        self.removable: list[str] = []

    def open(self, place: Path, before: str = "", width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Opens a file at a size in CSS pixels, after running the script `before` on the empty document."""
        for identifier in self.removable:
            self.command("Page.removeScriptToEvaluateOnNewDocument", identifier=identifier)
        self.removable = []
        if before:
            self.removable.append(self.command("Page.addScriptToEvaluateOnNewDocument", source=before)["identifier"])
        phone = width < 600
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        self.driver.get("about:blank")
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)  # forgets what was there
        self.driver.get(place.as_uri())
        self.js("document.documentElement.style.scrollBehavior = 'auto'")

    def command(self, name: str, **parameters) -> dict:
        return self.driver.execute_cdp_cmd(name, parameters)

    def js(self, code: str, *arguments) -> Any:
        return self.driver.execute_script(code, *arguments)

    def wait(self, code: str) -> Any:
        """Until the JavaScript expression is true."""
        return WebDriverWait(self.driver, PATIENCE, 0.05).until(lambda _: self.js(f"return {code}"), f"never: {code}")

    def all(self, selector: str) -> list:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def press(self, *keys: str) -> None:
        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def unfold(self) -> None:
        """Opens every section."""
        self.js("for (const fold of document.querySelectorAll('.fold')) fold.open = true")

    def draw_all(self) -> None:
        """Opens every section and scrolls through the page, as a reader does, until every chart is there."""
        self.wait("!!window.Plotly")
        self.unfold()
        for plot in self.all(".plot"):
            self.js("arguments[0].scrollIntoView({block: 'center'})", plot)
            WebDriverWait(self.driver, PATIENCE, 0.05).until(
                lambda _, plot=plot: plot.find_elements(By.CSS_SELECTOR, "svg.main-svg")
            )

    def hover(self, plot, right: int = 0, down: int = 0) -> str:
        """The text that a chart shows under the pointer, `right` and `down` of its middle."""
        self.js("arguments[0].scrollIntoView({block: 'center'})", plot)
        ActionChains(self.driver).move_to_element_with_offset(plot, right, down).perform()
        return WebDriverWait(self.driver, PATIENCE, 0.05).until(
            lambda _: plot.find_element(By.CSS_SELECTOR, ".hoverlayer").text
        )

    def said(self) -> list[str]:
        """Errors and warnings of the console."""
        return [f"{line['level']}: {line['message']}" for line in self.driver.get_log("browser")]

    def asked(self) -> list[str]:
        """The addresses of all requests since the page was opened, data: without its content."""
        messages = [json.loads(line["message"])["message"] for line in self.driver.get_log("performance")]
        wanted = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [url.split(",")[0] if url.startswith("data:") else url for url in wanted]


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[Browser]:
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (binary and driver):
        pytest.skip("no Chromium with chromedriver; on Debian: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield Browser(started)
    started.quit()


@pytest.fixture(scope="session")
def page(nasty_page) -> Path:
    return nasty_page.place


@pytest.fixture
def column(browser) -> Callable[[], list[str]]:
    """The names in the table of runs, from the top."""
    return lambda: [cell.text for cell in browser.all("table.runs tbody th")]


def test_nothing_leaves_the_file_and_nothing_complains(browser, page):
    browser.open(page)
    browser.draw_all()
    thumb = browser.all(".thumb")[0]
    browser.js("arguments[0].click()", thumb)
    assert browser.said() == []
    asked = browser.asked()
    assert asked.count(page.as_uri()) == 1
    assert {url for url in asked if url != page.as_uri()} <= {
        "data:image/webp;base64",
        "data:image/png;base64",
        "data:",
    }
    assert browser.js("return window.hacked") is None


def test_every_chart_is_drawn(browser, page):
    browser.open(page)
    browser.draw_all()
    shapes = {
        plot.get_dom_attribute("data-chart"): len(
            plot.find_elements(By.CSS_SELECTOR, ".scatterlayer .trace, .hm image")
        )
        for plot in browser.all(".plot")
    }
    # Loss: three runs, each with two curves and a mark. Cost: no front through a single point, two finished runs.
    assert shapes["curves-loss"] == 9
    assert shapes["confusion-0"] == shapes["confusion-1"] == 1
    assert min(shapes.values()) >= 1


def test_curves_show_their_values_on_hover(browser, page):
    browser.open(page)
    browser.draw_all()
    loss = browser.all('[data-chart="curves-loss"]')[0]
    seen = browser.hover(loss)
    assert "epoch " in seen
    assert "b<b>old, validation" in seen  # the name as it is, not as HTML


def test_confusion_shows_count_and_share_on_hover(browser, page):
    browser.open(page)
    browser.draw_all()
    seen = browser.hover(browser.all('[data-chart="confusion-0"]')[0])
    assert "predicted" in seen
    assert "% of the row" in seen


def test_table_sorts_by_click(browser, page, column):
    browser.open(page)
    assert column() == ["b<b>old", "a", "c"]
    heading = browser.all("table.runs thead th")[0]
    button = heading.find_element(By.TAG_NAME, "button")
    button.click()
    assert (column(), heading.get_dom_attribute("aria-sort")) == (["a", "b<b>old", "c"], "ascending")
    button.click()
    assert (column(), heading.get_dom_attribute("aria-sort")) == (["c", "b<b>old", "a"], "descending")


def test_table_sorts_by_keyboard_and_keeps_unknown_last(browser, page, column, nasty_page):
    accuracies = {
        name: json.loads((run / "metrics.json").read_text())["accuracy"]
        for name, run in zip(("b<b>old", "a"), nasty_page.runs, strict=False)
    }
    rising = sorted(accuracies, key=accuracies.get)
    browser.open(page)
    button = browser.all("table.runs thead button")[1]
    browser.js("arguments[0].focus()", button)
    browser.press(Keys.SPACE)
    assert column() == [*reversed(rising), "c"]  # the best first; the unfinished run has no accuracy
    browser.press(Keys.ENTER)
    assert column() == [*rising, "c"]
    browser.press(Keys.SPACE)
    assert column() == [*reversed(rising), "c"]
    sorts = [heading.get_dom_attribute("aria-sort") for heading in browser.all("table.runs thead th")]
    assert sorts[1] == "descending"
    assert set(sorts[:1] + sorts[2:]) == {"none"}


@pytest.mark.parametrize("dark", [False, True])
def test_theme_follows_the_system_until_the_button_is_used(browser, page, dark):
    paper = "return getComputedStyle(document.body).backgroundColor"
    light, night = "rgb(255, 255, 255)", "rgb(21, 23, 26)"
    browser.open(page, before="localStorage.clear()", dark=dark)
    button = browser.all(".theme")[0]
    assert browser.js(paper) == (night if dark else light)
    assert button.get_dom_attribute("aria-pressed") == str(dark).lower()
    button.click()
    assert browser.js(paper) == (light if dark else night)
    assert button.get_dom_attribute("aria-pressed") == str(not dark).lower()


def test_theme_works_where_nothing_can_be_kept(browser, page):
    refuse = "Object.defineProperty(window, 'localStorage', {get() { throw new Error('SecurityError'); }})"
    browser.open(page, before=refuse)
    browser.all(".theme")[0].click()
    assert browser.js("return document.documentElement.dataset.theme") == "dark"
    browser.draw_all()
    assert browser.said() == []


@pytest.mark.parametrize("how", ["click", "Enter"])
def test_picture_opens_larger_and_closes_with_escape(browser, page, how):
    browser.open(page)
    browser.unfold()
    thumb = browser.all(".thumb")[0]
    browser.js("arguments[0].scrollIntoView({block: 'center'}); arguments[0].focus()", thumb)
    thumb.click() if how == "click" else browser.press(Keys.ENTER)
    assert browser.js("return document.querySelector('dialog').open")
    assert browser.js("return document.querySelector('dialog img').naturalWidth") == 520  # noise: the largest side kept
    first = browser.all("dialog p")[0].text
    assert first.endswith("scaled down from 900 × 700")
    browser.press(Keys.ARROW_RIGHT)
    assert browser.all("dialog p")[0].text != first
    browser.press(Keys.ESCAPE)
    assert not browser.js("return document.querySelector('dialog').open")
    assert browser.js("return document.activeElement === arguments[0]", thumb)


@pytest.mark.parametrize("name", WIDTHS)
def test_page_is_never_wider_than_the_window(browser, page, name):
    width, height = WIDTHS[name]
    browser.open(page, width=width, height=height)
    browser.draw_all()
    for details in browser.all("details"):
        browser.js("arguments[0].open = true", details)
    assert browser.js("return innerWidth") == width
    assert browser.js("return document.documentElement.scrollWidth") <= width
    ends = "return [...document.querySelectorAll('svg.main-svg')].map(svg => svg.getBoundingClientRect().right)"
    assert max(browser.js(ends)) <= width


def test_a_run_can_be_hidden_in_all_charts(browser, page):
    browser.open(page)
    browser.draw_all()
    button = browser.all('.legend button[data-run="0"]')[0]
    browser.js("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    assert {b.get_dom_attribute("aria-pressed") for b in browser.all('.legend button[data-run="0"]')} == {"false"}
    shown = (
        "return [...document.querySelectorAll('.plot')].flatMap(p => p.data)"
        ".filter(t => t.meta && t.visible).map(t => t.meta.run)"
    )
    assert set(browser.js(shown)) == {1, 2}
    button.click()
    assert set(browser.js(shown)) == {0, 1, 2}


def test_keyboard_reaches_everything(browser, page):
    browser.open(page)
    browser.unfold()
    browser.press(Keys.TAB)
    assert browser.js("return document.activeElement.textContent") == "Skip to the results"
    assert browser.js("return document.activeElement.getBoundingClientRect().left") >= 0
    browser.press(Keys.ENTER)
    assert browser.js("return document.activeElement.id") == "main"
    reached = set()
    for _ in range(200):
        browser.press(Keys.TAB)
        reached.add(browser.js("const e = document.activeElement; return e.className || e.tagName"))
    assert {"thumb", "SUMMARY", "scroll", "copy"} <= reached
    assert browser.js("return getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_numbers_are_shown_where_the_charts_cannot_be_unpacked(browser, page):
    browser.open(page, before="delete window.DecompressionStream")
    browser.wait("document.querySelectorAll('.plot.failed').length > 0")
    assert all(browser.js("return arguments[0].open", details) for details in browser.all("details.numbers"))
    assert "cannot draw the chart" in browser.all(".plot")[0].text


def test_paper_has_every_chart_and_every_detail(browser, page):
    browser.open(page, dark=True)
    browser.wait("!!window.Plotly")
    browser.js("dispatchEvent(new Event('beforeprint'))")
    assert browser.js("return document.querySelectorAll('details:not([open], .numbers, .more)').length") == 0
    assert browser.js("return document.querySelectorAll('details.numbers[open]').length") == 0
    drawn = "[...document.querySelectorAll('.plot')].every(p => p.querySelector('svg.main-svg')?.clientWidth <= 660)"
    browser.wait(drawn)
    browser.command("Emulation.setEmulatedMedia", media="print")
    assert browser.js("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.command("Emulation.setEmulatedMedia", media="")
    browser.js("dispatchEvent(new Event('afterprint'))")
    assert browser.js("return document.querySelectorAll('details.numbers[open]').length") == 0


def test_parallel_coordinates_are_in_the_bundle(browser, page):
    browser.open(page)
    browser.wait("!!window.Plotly")
    browser.js(
        "Plotly.newPlot(document.querySelector('.plot'), [{type: 'parcoords', dimensions: ["
        "{label: 'a', values: [1, 2, 3]}, {label: 'b', values: [3, 1, 2]}]}])"
    )
    browser.wait("document.querySelectorAll('.parcoords .y-axis').length === 2")


def test_copying_takes_the_whole_command(browser, page):
    browser.open(page)
    browser.command("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    browser.unfold()
    block = browser.all(".copied")[0]
    browser.js("arguments[0].scrollIntoView({block: 'center'})", block)
    button = block.find_element(By.CSS_SELECTOR, ".copy")
    button.click()
    time.sleep(0.2)
    assert button.text in ("Copied", "Selected")
    if button.text == "Selected":
        assert browser.js("return getSelection().toString()") == block.find_element(By.TAG_NAME, "code").text


# --- a sweep ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sweep_page(grid_sweep, tmp_path_factory) -> Path:
    return write_report([grid_sweep], tmp_path_factory.mktemp("page") / "sweep.html")


def severe(said: list[str]) -> list[str]:
    """Without the browser's remarks that it draws in software, which are warnings."""
    return [line for line in said if not line.startswith("WARNING") or "WebGL" not in line]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", WIDTHS)
def test_sweep_is_drawn_within_the_window_without_a_complaint(browser, sweep_page, name, dark):
    width, height = WIDTHS[name]
    browser.open(sweep_page, width=width, height=height, dark=dark)
    browser.draw_all()
    browser.wait("document.querySelectorAll('[data-chart=study-coordinates] .parcoords .y-axis').length === 3")
    for details in browser.all("details"):
        browser.js("arguments[0].open = true", details)
    assert browser.js("return document.documentElement.scrollWidth") <= width
    assert browser.js("return document.querySelectorAll('.plot.failed').length") == 0
    assert "WebGL is not supported" not in browser.js("return document.body.innerText")
    assert severe(browser.said()) == []
    assert {url for url in browser.asked() if not url.startswith("data:")} == {sweep_page.as_uri()}


def test_parallel_coordinates_can_be_brushed(browser, sweep_page):
    browser.open(sweep_page)
    browser.draw_all()
    plot = browser.all('[data-chart="study-coordinates"]')[0]
    browser.js("arguments[0].scrollIntoView({block: 'center'})", plot)
    browser.wait("document.querySelectorAll('[data-chart=study-coordinates] .axis-brush').length === 3")
    # The last axis is the metric's. Dragged from its upper end to the middle, the upper half is left.
    at = "const r = arguments[0].getBoundingClientRect(); return [r.left + r.width / 2, r.top, r.height]"
    x, top, length = browser.js(at, plot.find_elements(By.CSS_SELECTOR, ".axis-brush .background")[-1])
    pointer = ActionChains(browser.driver)
    pointer.w3c_actions.pointer_action.move_to_location(int(x), int(top + 0.1 * length)).pointer_down()
    pointer.w3c_actions.pointer_action.move_to_location(int(x), int(top + 0.3 * length))
    pointer.w3c_actions.pointer_action.move_to_location(int(x), int(top + 0.5 * length)).pointer_up()
    pointer.perform()
    kept = "document.querySelector('[data-chart=study-coordinates]').data[0].dimensions[2].constraintrange"
    browser.wait(f"!!{kept}")
    low, high = browser.js(f"return {kept}")
    assert 49 < low < high <= 65


def test_without_webgl_the_numbers_of_the_coordinates_are_shown(browser, sweep_page):
    no_webgl = (
        "const original = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...others) {"
        " return kind.startsWith('webgl') ? null : original.call(this, kind, ...others); }"
    )
    browser.open(sweep_page, before=no_webgl)
    browser.unfold()
    browser.wait("document.querySelectorAll('.plot.failed').length === 1")
    (plot,) = browser.all(".plot.failed")
    assert plot.get_dom_attribute("data-chart") == "study-coordinates"
    assert browser.js("return arguments[0].closest('.chart').querySelector('details').open", plot)
    browser.js("dispatchEvent(new Event('beforeprint')); dispatchEvent(new Event('afterprint'))")
    assert severe(browser.said()) == []


def test_the_table_of_many_classes_is_searched_by_words_in_any_order(browser, make_run, tmp_path):
    names = [f"kind {i // 10} no. {i % 10}" for i in range(60)]
    browser.open(write_report([make_run(tmp_path / "run", classes=names, images=600)], tmp_path / "page.html"))
    browser.unfold()
    browser.js("for (const details of document.querySelectorAll('details')) details.open = true")
    field = browser.all("#classes .search input")[0]
    rows = "[...document.querySelector('#classes table[data-search]').tBodies[0].rows].filter((row) => !row.hidden)"
    assert browser.js(f"return {rows}.length") == 60
    field.send_keys("NO. 3 kind 4")
    found = browser.js(f"return {rows}.map((row) => row.textContent)")
    assert [row for row in found if "kind 4 no. 3" in row]
    assert 0 < len(found) < 60
    assert (
        browser.js("return document.querySelector('#classes .search output').textContent") == f"{len(found)} of 60 rows"
    )
    assert browser.said() == []
