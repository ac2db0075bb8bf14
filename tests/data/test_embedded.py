import importlib.util
from pathlib import Path

import numpy as np
import pytest

from keras_cnn.data import arrays, load

ROOT = Path(__file__).resolve().parents[2]
EMBEDDED = ROOT / "keras_cnn" / "data" / "embedded"


@pytest.fixture(scope="module")
def mini():
    return load("fashion-mini")


@pytest.fixture(scope="module")
def debian():
    if not arrays.FASHION_MNIST_FOLDER.is_dir():
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    return arrays.read_fashion_mnist()


def test_counts_are_stratified(mini):
    assert mini.image_shape == (28, 28, 1)
    assert mini.classes == arrays.FASHION_CLASSES
    for split, each in ((mini.train, 900), (mini.validation, 100), (mini.test, 200)):
        assert np.bincount(split.labels).tolist() == [each] * 10
        assert split.pixels.shape == (10 * each, 28, 28, 1)
        assert split.pixels.dtype == np.uint8
    assert mini.findings["duplicates"]["sets"] == 0


def test_small_with_its_licence():
    assert sum(file.stat().st_size for file in EMBEDDED.iterdir()) < 6_000_000
    notice = (EMBEDDED / "LICENSE.fashion-mnist").read_text()
    assert "Zalando SE" in notice
    assert "Permission is hereby granted" in notice


def test_images_are_those_of_the_full_set(mini, debian):
    for name, split in (("train", mini.train), ("train", mini.validation), ("test", mini.test)):
        full = debian.parts[name].split
        numbers = [int(i.split("/")[1]) for i in split.ids]
        assert {i.split("/")[0] for i in split.ids} == {name}
        assert np.array_equal(split.pixels, full.pixels[numbers])
        assert np.array_equal(split.labels, full.labels[numbers])


def test_full_set_has_the_published_counts(debian):
    assert np.bincount(debian.parts["train"].split.labels).tolist() == [6000] * 10
    assert np.bincount(debian.parts["test"].split.labels).tolist() == [1000] * 10


@pytest.mark.usefixtures("debian")
def test_the_script_makes_the_same_bytes(tmp_path):
    spec = importlib.util.spec_from_file_location("make_fashion_mini", ROOT / "scripts" / "make_fashion_mini.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main(tmp_path)
    assert (tmp_path / "fashion_mini.npz").read_bytes() == (EMBEDDED / "fashion_mini.npz").read_bytes()
