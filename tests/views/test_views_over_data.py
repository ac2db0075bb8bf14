"""The views over whole splits, on a network and a dataset that are small: what they leave, and what they refuse."""

import json

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from keras_cnn import views
from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.errors import InputError, UsageError
from keras_cnn.views.support.image_stream import stream
from keras_cnn.views.support.opened_model import OpenedModel, VisualizeOptions
from keras_cnn.visualization.probe import Probe

CLASSES = ("ant", "bee", "cow")


def split(name: str, count: int) -> Split:
    rng = np.random.default_rng(count)
    labels = (np.arange(count) % 3).astype(np.int32)
    pixels = rng.integers(0, 120, (count, 16, 14, 3)) + 60 * labels[:, None, None, None]
    return Split(tuple(f"{name}/{i:03}" for i in range(count)), labels, pixels.astype(np.uint8))


@pytest.fixture(scope="module")
def opened(tmp_path_factory) -> OpenedModel:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((16, 14, 3))
    x = layers.ReLU(name="relu1")(layers.BatchNormalization()(layers.Conv2D(4, 3, name="conv1")(inputs)))
    x = layers.Conv2D(5, 3, activation="relu", name="conv2")(x)
    model = keras.Model(
        inputs, layers.Dense(3, name="logits")(layers.GlobalAveragePooling2D(name="gap")(x)), name="tiny"
    )
    dataset = Dataset("test", CLASSES, (16, 14, 3), split("train", 30), split("validation", 24), split("test", 6))
    out = tmp_path_factory.mktemp("views")
    return OpenedModel("tiny", model, Probe(model), out, CLASSES, VisualizeOptions(image_count=2), dataset=dataset)


def test_the_arrays_are_the_numbers(opened, tmp_path):
    views.find("occlusion").draw(opened, tmp_path, patch=(4,), target="cow")
    with np.load(tmp_path / "occlusion.npz") as arrays:
        assert arrays["confidence_4"].shape == (2, 13, 11)
        assert arrays["targets"].tolist() == [2, 2]
        image = arrays["images"][1].astype(np.float32)
        image[3:7, 5:9] = 127.5
        logits = opened.model(image[None], training=False).numpy()[0].astype(np.float64)
        expected = np.exp(logits[2]) / np.exp(logits).sum()
        assert arrays["confidence_4"][1, 3, 5] == pytest.approx(expected, abs=1e-5)
    views.find("receptive-field").draw(opened, tmp_path)
    with np.load(tmp_path / "receptive-field.npz") as arrays:
        rows = dict(zip(arrays["layers"].tolist(), arrays["size"].tolist(), strict=True))
        assert (rows["conv1"], rows["conv2"], rows["gap"]) == ([3, 3], [5, 5], [16, 14])
    views.find("filters").draw(opened, tmp_path, top=3, split="train")
    with np.load(tmp_path / "filters-summary.npz") as arrays:
        assert arrays["conv1_top"].shape == (4, 3)
        assert arrays["conv2_top"].max() < 30
    views.find("filters").draw(opened, tmp_path, split="train")
    with np.load(tmp_path / "filters-summary.npz") as summary, np.load(tmp_path / "filters-conv1.npz") as arrays:
        assert summary["conv1_top"].shape == (4, 20)
        names = ("numbers", "ids", "responses", "boxes")
        assert {arrays[name].shape[:2] for name in names} == {(2, 10)}  # the ten images that are drawn
        np.testing.assert_array_equal(arrays["numbers"], summary["conv1_top"][:2, :10])
        np.testing.assert_array_equal(arrays["responses"], summary["conv1_responses"][:2, :10])


def test_the_ablation_says_what_was_chosen(opened, tmp_path):
    saved = views.find("ablation").draw(opened, tmp_path, filters=("conv1:3", "conv1:1"), controls=8, silent=True)
    record = json.loads((tmp_path / "ablation.json").read_text())
    assert record["filters"] == {"conv1": [1, 3]}
    assert record["of"] == "24 images of the validation split"
    after = [control["after"] for control in record["controls"]]
    assert len(after) == 8
    as_bad = sum(accuracy <= record["after"] for accuracy in after)
    assert f"as bad or worse: {as_bad} of 8 random choices" in " ".join(figure.line for figure in saved)
    assert record["left_behind"] == {"conv1": [0.0, 0.0]}
    assert f"{100 * record['before']:.2f} % before" in saved[0].line


def test_the_means_of_the_top_responses_are_a_table(opened, tmp_path):
    summary, *_ = views.find("filters").draw(opened, tmp_path, filters=(3, 0), top=5)
    with np.load(summary.arrays) as arrays:
        numbers = {name: (arrays[f"{name}_responses"], arrays[f"{name}_mean"]) for name in ("conv1", "conv2")}
    head, *rows = (line.split() for line in summary.table)
    assert head == ["response", "mean", "of", "top", "5", "largest", "mean", "of", "all"]
    assert [" ".join(row[:3]) for row in rows] == [f"conv{c} filter {f}" for c in (1, 2) for f in (3, 0)]
    for layer, _, number, *values in rows:
        responses, mean = numbers[layer]
        expected = responses[int(number)].mean(), responses[int(number), 0], mean[int(number)]
        found = [float(value.replace("−", "-")) for value in values]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_ablation_of_the_first_images_of_a_split(opened, tmp_path):
    views.find("ablation").draw(opened, tmp_path, first=7, controls=0)
    record = json.loads((tmp_path / "ablation.json").read_text())
    assert record["of"] == "the first 7 images of the validation split"
    assert sum(change["images"] for change in record["per_class"].values()) == 7
    assert [record["per_class"][name]["images"] for name in CLASSES] == [3, 2, 2]  # labels 0 1 2 0 1 2 0
    assert set(record["newly_wrong"]) <= {f"validation/{number:03}" for number in range(7)}
    with pytest.raises(InputError, match="--first: found 7 with --most 9, expected one of them"):
        views.find("ablation").draw(opened, tmp_path, first=7, most=9)


def test_all_images_of_a_source_without_splits_are_measured(opened, tmp_path):
    photos = tmp_path / "photos" / "all"
    photos.mkdir(parents=True)
    for number in range(11):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 14, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(photos / f"{number}.png")
    saved = views.find("statistics").draw(opened, tmp_path, images_of=(f"folder:{photos.parent}",), most=12)
    with np.load(saved[-1].arrays) as arrays:
        assert f"tiny on 11 images of folder:{photos.parent}" in arrays["series"].tolist()[1]


def test_several_networks_and_sets_side_by_side(opened, tmp_path):
    opened.model.save(tmp_path / "other.keras")
    saved = views.find("statistics").draw(
        opened, tmp_path, against=(str(tmp_path / "other.keras"),), images_of=("fashion-mini",), most=12
    )
    assert [file.figure.name for file in saved] == [
        "statistics-sparsity-tiny.png",
        "statistics-sparsity-other.png",
        "statistics-spectra.png",
    ]
    with np.load(saved[-1].arrays) as arrays:
        series = arrays["series"].tolist()
        assert [name.split(":")[0] for name in series] == [
            "tiny on 12 images of the validation split",
            "tiny on 12 images of fashion-mini",
            "other on 12 images of the validation split",
            "other on 12 images of fashion-mini",
        ]
        np.testing.assert_allclose(arrays["eigenvalues 1"], arrays["eigenvalues 3"], rtol=1e-6)
    with np.load(saved[0].arrays) as arrays:
        assert arrays["shares"].shape == (2, 2, 3)


def test_networks_of_one_name_are_record_apart(opened, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        opened.model.save(tmp_path / folder / "tiny.keras")
    files = tuple(str(tmp_path / folder / "tiny.keras") for folder in ("a", "b"))
    saved = views.find("statistics").draw(opened, tmp_path, against=files, most=12, layer=("conv1",))
    assert [file.figure.stem for file in saved[:-1]] == [f"statistics-sparsity-tiny{end}" for end in ("", "-2", "-3")]
    with np.load(saved[-1].arrays) as arrays:
        assert [name.split(" on ")[0] for name in arrays["series"].tolist()] == ["tiny", "tiny #2", "tiny #3"]


def test_images_without_classes_serve_where_classes_are_not_needed(opened, tmp_path):
    photos = []
    for number in range(4):
        path = tmp_path / f"{number}.png"
        keras.utils.save_img(path, np.random.default_rng(number).integers(0, 256, (16, 14, 3)), scale=False)
        photos.append(path)
    unlabelled = OpenedModel("tiny", opened.model, opened.probe, tmp_path, None, VisualizeOptions(images=tuple(photos)))
    names = [file.figure.stem for file in views.find("filters").draw(unlabelled, tmp_path)]
    assert names == ["filters-summary", "filters-conv1", "filters-conv2"]
    (saved,) = views.find("embedding").draw(unlabelled, tmp_path, method=("pca",))
    assert "wrong" not in saved.line  # nobody knows
    assert len(views.find("occlusion").draw(unlabelled, tmp_path)) == 2
    with pytest.raises(InputError, match="class names that are not known"):
        views.find("ablation").draw(unlabelled, tmp_path)


def test_bad_options_are_reported_in_one_line(opened, tmp_path):
    cases = [
        ("ablation", {"filters": ("conv1",)}, "--filters conv1: expected LAYER:NUMBER, such as conv1:0"),
        ("ablation", {"filters": ("relu1:0",)}, "relu1, of type ReLU, has no kernels; expected one of conv1, conv2"),
        ("ablation", {"controls": -1}, "--controls: found -1"),
        ("filters", {"layer": ("conv1",), "filters": (4,)}, "conv1: filter 4, expected 0 to 3"),
        ("occlusion", {"target": "dog"}, "unknown class 'dog'"),
        ("occlusion", {"patch": (20,)}, "size: found 20, expected 1 to 14"),
        ("statistics", {"most": 1}, "--most: found 1, expected at least 2"),
        ("statistics", {"against": ("a",) * 6}, "neither a run folder"),
        ("embedding", {"layer": "gapp"}, "no layer 'gapp'; did you mean gap"),
    ]
    for name, options, words in cases:
        with pytest.raises(InputError, match=words):
            views.find(name).draw(opened, tmp_path, **options)
    alone = OpenedModel("tiny", opened.model, opened.probe, tmp_path, CLASSES, VisualizeOptions())
    with pytest.raises(UsageError, match="comes without images"):
        stream(alone, "filters", "validation")


def test_a_stream_can_be_read_again_and_in_part(opened):
    images = stream(opened, "filters", "train", most=7)
    assert len(images) == 7
    assert images.ids[0] == "train/000"
    assert images.ids[-1] == "train/029"
    for _ in range(2):
        pixels = np.concatenate([batch.images.numpy() for batch in images])
        np.testing.assert_array_equal(pixels, images.split.pixels)
    np.testing.assert_array_equal(images.pixels([3, 1]), images.split.pixels[[3, 1]])
