"""The page of an embedding in headless Chromium: the image under the mouse, from disk, without any request."""

import json
import shutil

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.support.wait import WebDriverWait

from keras_cnn.views.embedding import ClassifiedPoints, hover_page
from keras_cnn.visualization.embedding import Embedding

NASTY = "<img src=x onerror=alert(1)></script>"
CAPTION = "return document.getElementById('caption').textContent"
PLACE = """
const plot = document.getElementById(arguments[0]), trace = plot._fullData[arguments[1]], layout = plot._fullLayout;
plot.scrollIntoView();
const box = plot.getBoundingClientRect(), size = layout._size;
const at = (axis, value) => Math.round(axis.d2p(value));
return [Math.round(box.left + size.l) + at(layout.xaxis, trace.x[arguments[2]]),
        Math.round(box.top + size.t) + at(layout.yaxis, trace.y[arguments[2]])];
"""
FLAGS = (
    "headless=new",
    "window-size=1400,1000",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
)


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    service = shutil.which("chromedriver")
    if not (binary and service):
        pytest.skip("no Chromium with chromedriver; on Debian: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(service))
    yield started
    started.quit()


@pytest.mark.parametrize(("shape", "count"), [((8, 6, 3), 90), ((150, 100, 1), 5)])
def test_a_point_shows_its_image_and_caption(driver, tmp_path, shape, count):
    rng = np.random.default_rng(0)
    pixels = np.broadcast_to(rng.integers(0, 256, (count, 1, 1, shape[2])), (count, *shape)).astype(np.uint8)
    labels = np.arange(count) % 3 - 1
    embeddings = [Embedding(name, rng.normal(size=(count, 2)), NASTY) for name in ("PCA", "t-SNE")]
    images = ClassifiedPoints(labels, labels == 1, ("ant", NASTY))
    captions = [f"{NASTY}\nimage {i}" for i in range(count)]
    page = tmp_path / "embedding.html"
    page.write_text(hover_page(embeddings, pixels, images, captions, NASTY), "utf-8")
    driver.get(page.as_uri())
    WebDriverWait(driver, 20).until(lambda d: d.execute_script("return sprite.complete && !!window.Plotly"))
    for plot, curve, point in (("embedding-0", 0, 0), ("embedding-1", 2, 0), ("embedding-1", 1, (count - 2) // 3)):
        number = np.flatnonzero(labels == curve - 1)[point]
        x, y = driver.execute_script(PLACE, plot, curve, point)
        place = ActionBuilder(driver)
        place.pointer_action.move_to_location(x, y)
        place.perform()
        WebDriverWait(driver, 20).until(lambda d, c=captions[number]: d.execute_script(CAPTION) == c)
        read = "return Array.from(canvas.getContext('2d').getImageData(2, 3, 1, 1).data).slice(0, 3)"
        expected = pixels[number, 0, 0]
        assert driver.execute_script(read) == np.broadcast_to(expected, 3).tolist()
    assert driver.execute_script("return document.querySelectorAll('img').length") == 0  # no name became an element
    assert [line for line in driver.get_log("browser") if line["level"] == "SEVERE"] == []
    messages = [json.loads(line["message"])["message"] for line in driver.get_log("performance")]
    requested = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert page.as_uri() in requested
    assert [url for url in requested if url.startswith(("http", "ws"))] == []


def test_a_tap_on_a_phone_shows_the_image(driver, tmp_path):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (12, 8, 8, 1)).astype(np.uint8)
    images = ClassifiedPoints(np.zeros(12, int), np.zeros(12, bool), ("a class with quite a long name",))
    page = tmp_path / "phone.html"
    captions = [f"image {i}" for i in range(12)]
    page.write_text(hover_page([Embedding("PCA", rng.normal(size=(12, 2)), "note")], pixels, images, captions, "run"))
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        driver.get(page.as_uri())
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        x, y = driver.execute_script(PLACE, "embedding-0", 0, 5)
        for kind, points in (("touchStart", [{"x": x, "y": y}]), ("touchEnd", [])):
            driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        WebDriverWait(driver, 10).until(lambda _: driver.execute_script(CAPTION).startswith("image"))
        assert driver.execute_script(CAPTION) == "image 5"
    finally:
        driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
