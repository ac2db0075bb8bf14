"""The page to pick from: its pictures against the network's own numbers, and in headless Chromium."""

import base64
import io
import json
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from keras_cnn.cli import visualize
from keras_cnn.cli.program import run as run_program
from keras_cnn.data.pipeline import batches
from keras_cnn.figures.panels import coloured, value_range
from keras_cnn.loading import BUILDERS, load_dataset
from keras_cnn.run_folder import RunFolder
from keras_cnn.views import page as page_view
from keras_cnn.views.support.opened_model import VisualizeOptions
from keras_cnn.views.support.opening import open_source
from keras_cnn.visualization.attribution import METHODS
from keras_cnn.visualization.targets import ClassScore

FLAGS = ("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking", "disable-sync")


@pytest.fixture(scope="module")
def page(run, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("page")
    arguments = [str(run), "page", "--out", str(out), "--image-count", "2", "--count", "3"]
    assert run_program(visualize.main, arguments) == 0
    return out / "page" / "page.html"


def _content(page: Path) -> dict:
    return json.loads(re.search(r'id="content">(.*?)</script>', page.read_text(), re.DOTALL)[1])


def _pixels(part: dict) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(part["src"].partition(",")[2]))).convert("RGB"))


def test_the_pictures_are_the_networks_numbers(page, run):
    model = keras.saving.load_model(run / "model.keras")
    content = _content(page)
    assert [layer["name"] for layer in content["layers"]] == ["conv1", "conv2"]
    images = np.stack([_pixels(image) for image in content["images"]]).astype("float32")
    points = keras.Model(model.inputs[0], [model.get_layer(name).output for name in ("conv1", "bn1", "relu1")])
    maps = [values.numpy() for values in points(images)]
    gradient = None
    for unit in content["layers"][0]["units"]:
        channel = int(unit["name"].removeprefix("channel "))
        for i, parts in enumerate(unit["images"]):
            titles = [part["title"] for part in parts]
            assert titles == ["conv map", "after batch norm", "after activation", "what it sees", "gradient"]
            for part, values in zip(parts, maps, strict=False):
                difference = _pixels(part).astype(int) - coloured(values[i, ..., channel])
                assert np.abs(difference).max() <= 2  # rounding at the edge of two colours
            row, column = np.unravel_index(maps[0][i, ..., channel].argmax(), (16, 16))
            assert f"({row}, {column})" in parts[3]["note"]
            seen = np.pad(images[i], ((1, 1), (1, 1), (0, 0)), constant_values=-1)[row : row + 3, column : column + 3]
            inside = seen[..., 0] >= 0
            np.testing.assert_array_equal(_pixels(parts[3])[inside], seen[inside])
            gradient = _pixels(parts[4])
            touched = np.argwhere((gradient != gradient[(row + 8) % 16, (column + 8) % 16]).any(axis=-1))
            assert np.abs(touched - [row, column]).max() <= 1  # a 3×3 kernel moves its unit by nine pixels
    assert gradient.shape == (16, 16, 3)
    cam = METHODS["grad-cam"](model, images, ClassScore(), layer="conv2").maps
    for i, parts in enumerate(content["layers"][1]["images"]):
        assert np.abs(_pixels(parts[0]).astype(int) - coloured(cam[i])).max() <= 2


def test_the_patches_are_those_of_the_largest_responses_in_the_split(page, run):
    dataset = load_dataset(RunFolder.open(run).config(BUILDERS))
    model = keras.saving.load_model(run / "model.keras")
    images = np.concatenate([b.images.numpy() for b in batches(dataset.validation, dataset.image_shape, 64)])
    maps = keras.Model(model.inputs[0], model.get_layer("bn1").output)(images.astype("float32")).numpy()
    content = _content(page)
    for unit in content["layers"][0]["units"]:
        channel = int(unit["name"].removeprefix("channel "))
        sums = maps[..., channel].sum(axis=(1, 2))
        order = np.argsort(-sums, kind="stable")[:6]
        stated = f"of channel {channel} among {len(images)} images of the validation split: patches of 3×3 pixels"
        assert stated in unit["best"]
        for part, image in zip(unit["patches"], order, strict=True):
            assert part["title"] == dataset.classes[dataset.validation.labels[image]]
            assert float(part["note"].partition(",")[0].replace("−", "-")) == pytest.approx(sums[image], rel=0.01)
            row, column = np.unravel_index(maps[image, ..., channel].argmax(), (16, 16))
            padded = np.pad(images[image].astype(int), ((1, 1), (1, 1), (0, 0)), constant_values=-1)
            seen = padded[row : row + 3, column : column + 3]
            inside = seen[..., 0] >= 0
            np.testing.assert_array_equal(_pixels(part)[inside], seen[inside])


def test_a_large_patch_is_shown_smaller_and_no_more_than_so_many(run, tmp_path, monkeypatch):
    monkeypatch.setattr(page_view, "_PATCHES", 2)
    monkeypatch.setattr(page_view, "_PATCH_PIXELS", 2)
    assert run_program(visualize.main, [str(run), "page", "--out", str(tmp_path), "--count", "1"]) == 0
    patches = _content(tmp_path / "page" / "page.html")["layers"][0]["units"][0]["patches"]
    assert [_pixels(part).shape for part in patches] == [(2, 2, 3)] * 2  # of 3×3 pixels


def test_the_page_asks_nobody_for_anything(page):
    text = page.read_text()
    assert "default-src 'none'" in text
    assert not re.findall(r'(?:src|href)="?https?:', text)
    assert "</script" not in _raw(text)


def _raw(text: str) -> str:
    return text[text.index('id="content">') : text.index("</script>")]


def test_the_reader_picks_image_layer_and_channel(page):
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no Chromium with its driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        browser.get(page.as_uri())
        content, js = _content(page), browser.execute_script

        def shown() -> list[str]:
            return js("return [...document.querySelectorAll('#pictures img')].map((image) => image.src)")

        def pick(name: str, index: int) -> None:
            js(
                "const s = document.getElementById(arguments[0]); s.value = arguments[1];"
                "s.dispatchEvent(new Event('change'))",
                name,
                index,
            )

        def expected(image: int, layer: int, channel: int) -> list[str]:
            unit = content["layers"][layer]["units"][channel]
            parts = (*unit["images"][image], *content["layers"][layer]["images"][image])
            return [part["src"] for part in (content["images"][image], unit["kernel"], *parts)]

        def patches() -> list[str]:
            return js("return [...document.querySelectorAll('#patches img')].map((image) => image.src)")

        assert shown() == expected(0, 0, 0)
        pick("channel", 2)
        assert shown() == expected(0, 0, 2)
        chosen = content["layers"][0]["units"][2]
        assert patches() == [part["src"] for part in chosen["patches"]]
        assert js("return document.getElementById('best').textContent") == chosen["best"]
        pick("image", 1)
        assert shown() == expected(1, 0, 2)
        assert js("return document.getElementById('caption').textContent") == content["images"][1]["caption"]
        pick("layer", 1)
        assert shown() == expected(1, 1, 0)
        assert js("return [...document.querySelectorAll('img')].every((i) => i.complete && i.naturalWidth)")
        assert js("return document.documentElement.scrollWidth <= window.innerWidth")
        assert [line for line in browser.get_log("browser") if "favicon" not in line["message"]] == []
    finally:
        browser.quit()


def test_the_words_of_the_page_and_its_arrays(page, run):
    content = _content(page)
    opened = open_source(str(run), VisualizeOptions(image_count=2))
    weights = {name: opened.model.get_layer(name).kernel.numpy() for name in ("conv1", "conv2")}
    for i, image in enumerate(content["images"]):
        assert (image["title"], image["note"], image["caption"]) == ("image", "16×16 pixels", opened.caption(i))
    with np.load(page.with_suffix(".npz")) as file:
        arrays = dict(file)
    assert sorted(arrays) == sorted(
        [
            "images",
            *(
                f"{name}/{part}"
                for name in weights
                for part in ("channels", "convolved", "gradients", "kernels", "top")
            ),
        ]
    )
    assert arrays["conv1/top"].shape == (3, min(6, len(opened.dataset.validation)))
    for layer, words in zip(content["layers"], ("as RGB, grey is zero", "mean over 6 input channels"), strict=True):
        name = layer["name"]
        chosen = [int(unit["name"].removeprefix("channel ")) for unit in layer["units"]]
        assert arrays[f"{name}/channels"].tolist() == chosen
        for u, channel in enumerate(chosen):
            kernel = weights[name][..., channel]
            np.testing.assert_array_equal(arrays[f"{name}/kernels"][..., u], kernel)
            shown = kernel if name == "conv1" else kernel.mean(axis=2)
            part = layer["units"][u]["kernel"]
            assert (part["title"], part["note"]) == (f"kernel {channel}", f"{words}: {value_range(shown)}")
            assert _pixels(part).shape == (24, 24, 3)  # three pixels, eight times as large
            if name == "conv1":
                expected = np.round(127.5 + 127.5 * kernel / np.abs(kernel).max()).astype(np.uint8)
                np.testing.assert_array_equal(_pixels(part)[3::8, 4::8], expected)
            for i in range(2):
                parts = {part["title"]: part["note"] for part in layer["units"][u]["images"][i]}
                assert parts["conv map"] == value_range(arrays[f"{name}/convolved"][i, ..., u])
                size, _, unit = parts["what it sees"].partition(" pixels ")
                assert re.fullmatch(r"[1-5]×[1-5]", size)
                assert parts["gradient"] == f"{value_range(arrays[f'{name}/gradients'][u, i])} {unit}"
        assert [part["title"] for parts in layer["images"] for part in parts] == ["Grad-CAM"] * 2
        for i, (part,) in enumerate(layer["images"]):
            best = opened.class_name(int(opened.probabilities[i].argmax()))
            assert part["note"].endswith(f" for {best}, by all channels of the layer")
