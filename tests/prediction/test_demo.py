"""The page of `keras-cnn demo`: its answers against numbers worked out by hand, and itself in headless Chromium."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from keras_cnn import extras
from keras_cnn.cli import commands
from keras_cnn.prediction.classifier import Classifier, open_classifier
from keras_cnn.prediction.demo_answer import answer

CLASSES = ("red", "green", "blue")
ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import socket, sys

def heard(event, arguments):
    if event == "socket.connect" and arguments[0].family in (socket.AF_INET, socket.AF_INET6):
        print(arguments[1][0], file=contacted, flush=True)

contacted = open(sys.argv[1], "w")
sys.addaudithook(heard)
from keras_cnn.cli.commands import main
sys.exit(main(sys.argv[2:]))
"""
FLAGS = ("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking", "disable-sync")


def save(folder: Path, *hidden: layers.Layer, name: str = "colours") -> Path:
    """A model file whose logits are four times the means of the channels, as shares of 255."""
    image = keras.Input((6, 8, 3), name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(image)
    for layer in hidden or (layers.Conv2D(3, 1, name="conv"), layers.GlobalAveragePooling2D(name="mean")):
        x = layer(x)
    model = keras.Model(image, layers.Dense(3, name="logits")(x), name=name)
    if not hidden:
        model.get_layer("conv").set_weights([np.eye(3)[None, None], np.zeros(3)])
        model.get_layer("logits").set_weights([4 * np.eye(3), np.zeros(3)])
    model.save(folder / f"{name}.keras")
    return folder / f"{name}.keras"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a model file and pictures, of which two cannot be read."""
    place = tmp_path_factory.mktemp("demo")
    save(place)
    halves = np.zeros((6, 8, 3), np.uint8)
    halves[:, :4, 0], halves[:, 4:, 1] = 255, 128
    Image.fromarray(halves).save(place / "halves.png")
    Image.fromarray(np.full((40, 30), 32896, np.uint16)).save(place / "wide.png")  # 128 × 257
    Image.new("RGBA", (100, 20), (200, 0, 0, 0)).save(place / "clear.png")
    (place / "text.jpg").write_text("no image")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(place / "cut.png")
    (place / "cut.png").write_bytes((place / "cut.png").read_bytes()[:2000])
    return place


@pytest.fixture(scope="module")
def classifier(place) -> Classifier:
    return open_classifier(place / "colours.keras", classes=CLASSES)


def test_a_picture_has_its_probabilities_and_grad_cam(classifier, place):
    found = answer(classifier, place / "halves.png", top=2)
    powers = np.exp([4 * 0.5, 4 * 128 / 255 / 2, 0])
    red, green, _ = powers / powers.sum()
    assert list(found.probabilities) == ["red", "green"]
    assert list(found.probabilities.values()) == pytest.approx([red, green], abs=1e-6)
    assert found.words == f"halves.png: red, {red:.2%}"
    assert found.verdict.startswith(("Verdict: passes", "Verdict: looks the same on a random network"))
    # The map of red is the red channel. At its largest value the colour, viridis' last, covers 0.8 of the grey picture.
    assert found.picture is not None
    assert found.overlay is not None
    assert found.picture.shape == found.overlay.shape == (240, 320, 3)
    assert tuple(found.picture[0, 0]) == (255, 0, 0)
    assert tuple(found.overlay[0, 159]) == (219, 202, 46)  # 0.8 of (253, 231, 36), 0.2 of 85
    assert tuple(found.overlay[239, 160]) == (42, 42, 42)


@pytest.mark.parametrize(("name", "value"), [("wide.png", 128), ("clear.png", 255)])
def test_pictures_of_16_bits_and_with_transparency_are_read_as_everywhere(classifier, place, name, value):
    found = answer(classifier, place / name)
    assert list(found.probabilities.values()) == pytest.approx([1 / 3] * 3, abs=1e-6)
    assert found.picture is not None
    assert (found.picture == value).all()


@pytest.mark.parametrize(
    ("name", "words"),
    [("text.jpg", "text.jpg: not a JPEG, PNG, BMP, GIF, WebP or TIFF image"), ("cut.png", "cut.png: corrupt or trunc")],
)
def test_a_picture_that_cannot_be_read_has_its_reason_in_a_line(classifier, place, name, words):
    found = answer(classifier, place / name)
    assert found.words.startswith(words)
    assert "\n" not in found.words
    assert (found.probabilities, found.picture, found.overlay, found.verdict) == ({}, None, None, "")


def test_a_network_without_maps_has_classes_and_the_reason_without_grad_cam(tmp_path, place):
    file = save(tmp_path, layers.Flatten(name="flat"), name="flat")
    found = answer(open_classifier(file, classes=CLASSES), place / "halves.png")
    assert len(found.probabilities) == 3
    assert found.verdict.startswith("No Grad-CAM: ")
    assert found.overlay is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "nothing: no run folder, model file"),
        (["model.onnx"], "model.onnx: an export, whose layers cannot be read; expected the run or its .keras file"),
        (["yolov3"], "yolov3: a detector, which gives boxes"),
        (["colours.keras", "--port", "0"], "--port 0: expected 1 to 65535"),
        (["colours.keras", "--top", "0"], "--top 0: expected at least 1"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(place, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(place)
    monkeypatch.setitem(extras.EXTRAS, "demo", ())
    assert commands.main(["demo", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_without_gradio_the_extra_is_named(place, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)  # as if it were not installed
    assert commands.main(["demo", str(place / "colours.keras")]) == 2
    line = f"error: the demo: gradio not found; install the extra demo: {extras.install_line('demo')}\n"
    assert capsys.readouterr().err == line


@pytest.fixture
def browser():
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no Chromium with its driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()


@pytest.fixture
def server(place, tmp_path):
    """The demo as a program: its process, its address, and the file of the hosts that it has contacted."""
    pytest.importorskip("gradio", reason="Gradio is not installed: the extra demo")
    contacted = tmp_path / "contacted"
    command = [sys.executable, "-c", PROGRAM, str(contacted), "demo", "colours.keras", "--classes", *CLASSES]
    (tmp_path / "temporary").mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "temporary")}
    process = subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        line = next((line for line in process.stdout if line.startswith("demo ")), "")
        yield process, line.split()[1], contacted
        process.kill()
        process.wait()


def test_the_page_answers_in_a_browser_without_a_request_to_elsewhere(classifier, place, server, browser, tmp_path):
    process, address, contacted = server

    def value(field: str) -> str:
        return browser.execute_script(
            f"return document.querySelector('#{field} textarea, #{field} input')?.value ?? ''"
        )

    def drop(name: str) -> str:
        field = awaited(lambda: browser.find_elements("css selector", "#dropped input[type=file]"))[0]
        field.send_keys(str(place / name))
        return awaited(lambda: value("words").startswith(name) and value("words"))

    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    browser.get(address)
    assert drop("halves.png") == answer(classifier, place / "halves.png").words
    shown = ["red", "66%", "green", "25%", "blue", "9%"]  # exp(2) / (exp(2) + exp(4 × 64 / 255) + 1) = 0.6646
    assert awaited(lambda: browser.find_element("id", "classes").text.split()[-6:] == shown)
    assert awaited(lambda: value("verdict").startswith("Verdict: "))
    assert awaited(lambda: len(browser.find_elements("css selector", "img[src*='image.png']")) == 2)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    assert drop("text.jpg").startswith("text.jpg: not a JPEG")
    assert awaited(lambda: value("verdict") == "")
    assert list((tmp_path / "temporary").rglob("halves.png"))
    process.terminate()
    assert process.wait(60) == 0
    assert not list((tmp_path / "temporary").rglob("*.png"))
    assert set(contacted.read_text().split()) <= {"127.0.0.1"}
    messages = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    requested = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert len(requested) > 5
    assert [url for url in requested if not url.startswith((address, "data:", "blob:"))] == []


def awaited(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """What the condition gives as soon as it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found
