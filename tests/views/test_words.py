"""The titles, notes and captions of the views on a small network, and their lines on the terminal, word by word."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnn import views
from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.errors import InputError
from keras_cnn.figures.panels import number, value_range
from keras_cnn.views import ablation as ablation_view
from keras_cnn.views import activation_maximization as maximization_view
from keras_cnn.views import attribution as attribution_view
from keras_cnn.views import occlusion as occlusion_view
from keras_cnn.views.support import image_stream, saving
from keras_cnn.views.support.opened_model import OpenedModel, VisualizeOptions
from keras_cnn.visualization.activation_maximization import BestRealImages, MaximizedUnits
from keras_cnn.visualization.attribution import Attribution
from keras_cnn.visualization.occlusion import Occlusion
from keras_cnn.visualization.probe import Probe
from keras_cnn.visualization.sanity import Likeness, Verdict
from keras_cnn.visualization.targets import ChannelMean, Neuron

CLASSES = ("ant", "bee", "cow")
OF = "24 images of the validation split"


@pytest.fixture(scope="module")
def opened(tmp_path_factory) -> OpenedModel:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((16, 14, 3), name="image")
    x = layers.ReLU(name="relu1")(layers.BatchNormalization(name="bn1")(layers.Conv2D(4, 3, name="conv1")(inputs)))
    x = layers.Conv2D(5, (3, 4), activation="relu", name="conv2")(x)
    x = layers.Dense(3, name="logits")(layers.GlobalAveragePooling2D(name="gap")(x))
    model = keras.Model(inputs, x, name="tiny")
    rng = np.random.default_rng(0)
    labels = (np.arange(24) % 3).astype(np.int32)
    pixels = (rng.integers(0, 120, (24, 16, 14, 3)) + 60 * labels[:, None, None, None]).astype(np.uint8)
    validation = Split(tuple(f"folder/{i:02}.png" for i in range(24)), labels, pixels)
    dataset = Dataset("test", CLASSES, (16, 14, 3), validation, validation, validation)
    out = tmp_path_factory.mktemp("views")
    return OpenedModel("tiny", model, Probe(model), out, CLASSES, VisualizeOptions(image_count=5), dataset=dataset)


@pytest.fixture
def drawn(opened, tmp_path, monkeypatch):
    """Draws a view: name of a file -> its figure, the arrays and the line; no picture is written."""
    figures = {}
    monkeypatch.setattr(saving.style, "save", lambda figure, path: figures.update({path.stem: figure}))

    def draw(name: str, source: OpenedModel = opened, **options) -> dict[str, tuple]:
        before = [np.array(v) for v in source.model.variables]
        found = views.find(name).draw(source, tmp_path, **options)
        for variable, expected in zip(source.model.variables, before, strict=True):
            np.testing.assert_array_equal(np.array(variable), expected)
        return {
            file.figure.stem: (figures.get(file.figure.stem, file.figure), dict(np.load(file.arrays)), file.line)
            for file in found
        }

    return draw


def few(opened: OpenedModel, count: int) -> OpenedModel:
    return replace(opened, options=VisualizeOptions(image_count=count), results={})


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.texts if text is not figure._suptitle]


def test_ablation(drawn, tmp_path):
    found = drawn("ablation", controls=3)
    record = json.loads((tmp_path / "ablation.json").read_text())
    titles = {name: figure.get_suptitle() for name, (figure, *_) in found.items()}
    wrong = len(record["newly_wrong"])
    assert titles == {
        "ablation-classes": f"tiny, 4 filters at zero, {OF}",
        "ablation-confusion-before": f"tiny before the ablation, {OF}",
        "ablation-confusion-after": f"tiny after the ablation, {OF}",
        "ablation-confusion-difference": "tiny: after the ablation minus before",
        "ablation-newly-wrong": f"tiny: right before, wrong after; {wrong} of {wrong}",
        "ablation-controls": "tiny: the 4 chosen filters at zero, and 4 random ones of the same layers",
    }
    lines = {name: line for name, (_, _, line) in found.items()}
    low, high = record["difference_interval"]
    change = f"{100 * record['difference']:+.2f} points [{100 * low:+.2f}, {100 * high:+.2f}]"
    accuracies = f"{100 * record['before']:.2f} % before, {100 * record['after']:.2f} % after"
    assert lines["ablation-classes"] == f"{accuracies}: {change}, exact McNemar p {record['mcnemar']['p']:.2g}"
    assert lines["ablation-confusion-before"].startswith(f"{round(24 * record['before'])} image")
    as_bad = sum(control["difference"] <= record["difference"] for control in record["controls"])
    expected = f"as bad or worse: {as_bad} of 3 random choices, one-sided p {(1 + as_bad) / 4:.2g}"
    assert lines["ablation-controls"] == expected
    assert lines["ablation-newly-wrong"] == f"{wrong} such images"
    arrays = found["ablation-newly-wrong"][1]
    assert [f"folder/{i:02}.png" for i in arrays["numbers"]] == record["newly_wrong"]
    np.testing.assert_allclose(found["ablation-controls"][1]["intervals"], [
        control["difference_interval"] for control in record["controls"]
    ])  # fmt: skip


def test_filters(drawn, opened):
    opened.model.get_layer("conv2").bias.assign([0, 0, 0, 0, -1e6])
    found = drawn("filters", filters=(2, 4), layer=("conv2",), top=7)
    opened.model.get_layer("conv2").bias.assign([0] * 5)
    summary, classes, layer = found.values()
    assert summary[0].get_suptitle() == f"tiny: every filter of every convolution on {OF}"
    assert classes[0].get_suptitle() == f"tiny: classes of each filter's top 7 of {OF}"
    assert layer[0].get_suptitle() == "tiny, conv2: largest responses; patches of 5×6 pixels, true classes"
    assert summary[2].endswith(": conv2 1 of 5")
    assert list(classes[1]["filters"]) == ["conv2 filter 2", "conv2 filter 4"]
    counts = classes[1]["counts"]
    assert counts.sum(axis=1).tolist() == [7, 7]
    best = [CLASSES[i] for i in counts.argmax(axis=1)]
    assert classes[2] == f"conv2 filter 2 {best[0]}, conv2 filter 4 {best[1]}"
    assert [label.get_text() for label in classes[0].axes[0].get_xticklabels()] == list(CLASSES)
    arrays = {name.removeprefix("conv2_"): values for name, values in summary[1].items() if name.startswith("conv2")}
    for place, row in enumerate((2, 4)):
        mean, top, most, largest = (
            arrays["mean"][row], arrays["top_mean"][row], arrays["responses"][row, 0], arrays["largest"][row]
        )  # fmt: skip
        words = f"filter {row}: response {number(most, 4)}, of top 7 {number(top, 4)}, of all {number(mean, 4)}"
        words += f"; largest value {number(largest)}" + (", dead" if place else "") + f"; top 7 mostly {best[place]}"
        assert words in texts(layer[0]), texts(layer[0])
    responses = arrays["responses"][[2, 4], 0]
    assert layer[2] == f"conv2: largest responses {responses[0]:.4g}, {responses[1]:.4g}"
    labels = opened.dataset.validation.labels[layer[1]["numbers"]]
    captions = [text for text in texts(layer[0]) if text in CLASSES]
    assert captions == [CLASSES[label] for label in labels.ravel()]


def test_embedding_and_statistics(drawn, opened, tmp_path):
    found = drawn("embedding", method=("pca",))
    figure, arrays, line = found["embedding-pca"]
    assert figure.get_suptitle() == f"tiny, 5 features at gap, {OF}: PCA"
    wrong = int((arrays["labels"] != arrays["predicted"]).sum())
    page = tmp_path / "embedding.html"
    assert line == f"{wrong} of 24 predicted wrong; with the image under the mouse: {page}"
    text = page.read_text()
    assert "<title>tiny, 5 features at gap" in text
    captions = json.loads(re.search(r"\[\"folder/00.png.*?\]", text)[0])
    assert len(captions) == 24
    guess = CLASSES[arrays["predicted"][4]]
    assert captions[4] == f"folder/04.png\ntrue: bee\npredicted: {guess}"
    found = drawn("statistics", layer=("relu1", "avgpool"), most=9)
    figure, arrays, line = found["statistics-sparsity-tiny"]
    assert figure.get_suptitle() == "tiny: values that are not above 0"
    shares = 100 * arrays["shares"][0, :, 0]
    assert line == f"9 images of the validation split: relu1 {shares[0]:.1f} %, avgpool {shares[1]:.1f} %"
    figure, arrays, line = found["statistics-spectra"]
    assert figure.get_suptitle() == "Covariance of gap, pooled: eigenvalues, the largest first"
    assert line == arrays["series"][0]
    assert re.fullmatch(
        r"tiny on 9 images of the validation split: effective rank \d\.\d \[\d\.\d, \d\.\d\] of 5", line
    ), line
    found = drawn("statistics", most=3, point="conv1", reduction="flattened")
    assert found["statistics-spectra"][2].endswith(" of 672, at most 2 with 3 images")
    assert found["statistics-sparsity-tiny"][1]["layers"].tolist() == ["relu1", "conv2"]


def test_receptive_field(drawn):
    ((figure, arrays, line),) = drawn("receptive-field").values()
    assert figure.get_suptitle() == "tiny: what the middle unit of a layer sees"
    assert line == "pixels seen: conv1 3 (gradient: exact), conv2 5×6 (gradient: exact)"
    assert figure.axes[1].get_xlabel() == "conv2\n5×6 px, stride 1\ngradient: exact"
    assert arrays["units"].tolist() == [[7, 6], [6, 4]]  # of 14×12 and of 12×9
    assert arrays["boxes"].tolist() == [[7, 10, 6, 9], [6, 11, 4, 10]]


def test_kernels_and_maps(drawn, opened):
    found = drawn("kernels", count=2)
    weights = opened.model.get_layer("conv1").kernel.numpy()[..., :2]
    start = f"conv1: 2 of 4 kernels 3×3×3, weights {weights.min():.3g} to {weights.max():.3g}"
    assert [line for _, _, line in found.values()][:2] == [f"{start}, as RGB", f"{start}, red, green and blue alone"]
    titles = [figure.get_suptitle() for figure, *_ in found.values()]
    assert titles == [
        "tiny: conv1, 2 of 4 kernels 3×3×3",
        "tiny: conv1, 2 of 4 kernels 3×3×3, colour by colour",
        "tiny: conv2, 2 of 5 kernels 3×4×4",
    ]
    assert f"0: n {number(np.linalg.norm(weights[..., 0]))}" in texts(found["conv1_rgb"][0])
    assert any(text.startswith("mean over 4 input channels: ") for text in texts(found["conv2_mean"][0]))
    found = drawn("kernels", layer=("conv2",), inputs=(0, 3))
    assert list(found) == ["conv2_input_0", "conv2_input_3"]
    shown = found["conv2_input_3"][1]["shown"]
    np.testing.assert_array_equal(shown, opened.model.get_layer("conv2").kernel.numpy()[:, :, 3])
    with pytest.raises(InputError, match="tiny: conv2: input channel 4, expected 0 to 3"):
        drawn("kernels", layer=("conv2",), inputs=(4,))
    two = few(opened, 2)
    found = drawn("activations", two, layer=("conv1", "gap"), channels=(3, 1))
    names = [name.rpartition("/")[2].removesuffix(".png") for name in two.images.names]
    assert list(found) == [*(f"conv1_{i}_{name}" for i, name in enumerate(names, 1)), "gap"]
    figure, arrays, line = found[f"conv1_1_{names[0]}"]
    assert figure.get_suptitle() == "tiny: conv1, 2 of 4 maps of 14×12"
    assert line == f"conv1: convolution (conv1), batch norm (bn1), activation (relu1) of {names[0]}"
    assert texts(figure)[:2] == ["colours end at the 99th percentile of the values", two.caption(0)]
    assert "channel 3" in texts(figure)
    assert f"activation (relu1): {value_range(arrays['activation'])}" in texts(figure)
    figure, _, line = found["gap"]
    assert (figure.get_suptitle(), line) == ("tiny: gap, 5 units", "gap: 5 units of 2 images")
    with pytest.raises(InputError, match="tiny: conv1: channel 4, expected 0 to 3"):
        drawn("activations", two, layer=("conv1",), channels=(4,))
    for wrong in (0.0, 100.5):
        with pytest.raises(InputError, match=f"--percentile: found {wrong:g}, expected above 0, at most 100"):
            drawn("activations", two, percentile=wrong)


def test_pairs(drawn, opened):
    found = drawn("kernel-map-pairs", layer=("conv2",), count=1)
    assert list(found) == ["conv2_1-3", "conv2_4-5"]
    figure, arrays, line = found["conv2_4-5"]
    assert figure.get_suptitle() == "tiny: conv2:linear, kernel and maps by output channel"
    words = " ".join(texts(figure))
    assert "Kernels 3×4×4: mean over 4 input channels, one scale; then conv2." in words
    assert re.search(r"from the kernel beside it alone: at most \de-0\d of the largest value apart\.", words)
    assert re.fullmatch(r"conv2: 1 pair, recomputed to \de-0\d", line)
    np.testing.assert_array_equal(arrays["images"], opened.images.pixels[3:])
    assert len(found["conv2_1-3"][0].axes) == 3 + 1 + 6  # images, the kernel and two maps of each image


def test_occlusion(drawn, opened, monkeypatch):
    class Whole:
        """Every patch leaves the same confidence, less the larger it is."""

        def __init__(self, probe):
            pass

        def by_size(self, image, target, sizes, *, stride, fill):
            asked.append((target, tuple(sizes), stride, fill))
            sides = [
                [np.unique([*range(0, side - size, stride), side - size]) for side in image.shape[:2]] for size in sizes
            ]
            return [
                Occlusion(size, fill, *places, 0.75, np.full([len(side) for side in places], 0.5 / size))
                for size, places in zip(sizes, sides, strict=True)
            ]

    asked: list = []
    monkeypatch.setattr(occlusion_view, "Occluder", Whole)
    found = drawn("occlusion", patch=(2, 3, 4, 5, 8), stride=2, fill="mean")
    labels = opened.images.labels
    assert asked == [(label, (2, 3, 4, 5, 8), 2, "mean") for label in labels]
    assert list(found) == ["occlusion-1", "occlusion-2", "occlusion-sizes"]
    names = opened.images.names
    captions = [f"{opened.caption(i)}: confidence in {CLASSES[labels[i]]} 0.75" for i in range(5)]
    for file, part in (("occlusion-1", range(4)), ("occlusion-2", range(4, 5))):
        figure, arrays, line = found[file]
        assert figure.get_suptitle() == "tiny: confidence lost behind a mean patch, stride 2"
        assert [text for text in texts(figure) if ": confidence in " in text] == [captions[i] for i in part]
        assert [text for text in texts(figure) if " px: " in text] == len(part) * [
            *("2 px: 0.25 to 0.25", "3 px: 0.17 to 0.17", "4 px: 0.12 to 0.12", "5 px: 0.10 to 0.10")
        ]
        assert line == "; ".join(f"{names[i]}: 0.75, behind 8×8 at least 0.06" for i in part)
        assert arrays["drop_8"].shape == (5, 16, 14)
        assert (arrays["rows_8"].tolist(), arrays["columns_8"].tolist()) == ([0, 2, 4, 6, 8], [0, 2, 4, 6])
        assert arrays["whole"].tolist() == [0.75] * 5
    figure, arrays, line = found["occlusion-sizes"]
    assert figure.get_suptitle() == "tiny: confidence against the size of a mean patch, stride 2"
    assert line == "mean confidence 0.25 behind 2 pixels, 0.06 behind 8"
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()][-1] == "8\n20"
    assert arrays["sum"][:, -1].tolist() == [20 / 16] * 5
    monkeypatch.setattr(occlusion_view, "occlusion_maps", lambda *_: None)
    curves: list = []
    monkeypatch.setattr(occlusion_view, "occlusion_sizes", lambda *given, **_: curves.append(given))
    one = few(opened, 4)
    assert list(drawn("occlusion", one, patch=(4,))) == ["occlusion"]  # four images; one size has no curve
    many = few(opened, 11)
    drawn("occlusion", many, patch=(4, 5))
    assert [len(part) for part in curves[-1]] == [2, 10, 10, 10]  # sizes; sums, means and captions of ten images
    asked.clear()
    drawn("occlusion", few(opened, 1), target="cow")
    assert asked == [(2, (1, 3, 5, 7), 1, "grey")]  # 14 · 1/8, 2/8, 3/8 and 4/8
    assert drawn("occlusion", few(opened, 1), patch=tuple(range(1, 9)))
    with pytest.raises(InputError, match="--patch: 9 sizes, expected 1 to 8"):
        drawn("occlusion", patch=tuple(range(1, 10)))


@pytest.mark.parametrize(("side", "stride"), [(63, 1), (64, 2), (100, 3)])
def test_the_stride_of_a_patch_grows_with_the_image(tmp_path, monkeypatch, side, stride):
    def asked(self, image, target, sizes, **options):
        raise InterruptedError(sizes, options["stride"])

    monkeypatch.setattr(occlusion_view.Occluder, "__init__", lambda *_: None)
    monkeypatch.setattr(occlusion_view.Occluder, "by_size", asked)
    images = SimpleNamespace(pixels=np.zeros((1, side + 9, side, 3), np.uint8), labels=np.array([0]))
    with pytest.raises(InterruptedError) as found:
        occlusion_view.draw(SimpleNamespace(images=images, probe=None, probabilities=np.ones((1, 2))), tmp_path)
    assert found.value.args == (tuple(side * eighths // 8 for eighths in (1, 2, 3, 4)), stride)


def test_newly_wrong_images_stand_with_their_classes(opened, monkeypatch):
    sheets = []
    monkeypatch.setattr(ablation_view, "image_sheet", lambda *given: sheets.append(given))
    monkeypatch.setattr(ablation_view, "save_figure", lambda *given: given[-1])
    images = image_stream.stream(opened, "ablation", "validation")
    predicted = (images.labels + 1) % 3
    for wrong in (np.arange(24), np.tile(np.arange(24), 60)):
        found = SimpleNamespace(comparison=SimpleNamespace(newly_wrong=wrong), predicted=predicted)
        line = ablation_view._draw_newly_wrong(opened, CLASSES, opened.out, images, found)
    (pixels, captions, columns, title), (*_, more) = sheets
    assert (len(pixels), len(captions), columns) == (24, 24, 6)
    assert captions[3] == "03.png\nis ant\nnow bee"
    assert (title, more) == tuple(f"tiny: right before, wrong after; 24 of {count}" for count in ("24", "1,440"))
    assert line == "1,440 such images"


def test_attributions(drawn, opened, monkeypatch):
    asked, facts = [], {}

    def verdict(method, pixels, target, networks, **options):
        asked.append(options)
        words = tuple(f"class {i} minus class 0" for i in (1, 2))
        maps = Attribution("Method", np.ones((2, 16, 14)), np.array([3.21, -0.5]), words, facts)
        likeness = Likeness(0.25, -0.125)
        cascade = (("logits", likeness), ("conv1", Likeness(0, 0)))
        return maps, Verdict(cascade, likeness, Likeness(0.75, 0.5), Likeness(0.5, 0.25), 2, 0)

    monkeypatch.setattr(attribution_view, "verdict", verdict)
    two = few(opened, 2)

    def words(method, **options) -> tuple[str, str]:
        ((figure, arrays, line),) = drawn("attribution", two, method=(method,), **options).values()
        assert figure.get_suptitle() == "tiny: Method of the predicted class"
        np.testing.assert_allclose(arrays["cascade"], [[0.25, -0.125], [0, 0]])
        assert arrays["edges"].tolist() == [0.75, 0.5]
        assert arrays["other_class"].tolist() == [0.5, 0.25]
        return " ".join(texts(figure)), line

    text, line = words("gradient")
    assert line == "Method of the predicted class: passes, like an edge detector"
    assert text.count("Explained: logits.") == 1
    for i, name in enumerate(("bee minus ant: 3.21", "cow minus ant: −0.5")):
        assert f"{two.images.names[i]} {two.caption(i).partition(', ')[2]} logit of {name}" in text
    assert asked.pop() == {"other": None, "checks": None}
    facts |= {"completeness_error": np.array([0.012, -0.0362]), "difference": np.array([-9.0, -2.0]), "steps": 64}
    text, line = words("integrated-gradients")
    assert line.endswith("; completeness error at most 0.036 in a difference of 2")
    assert "Completeness error at most 0.036 in a difference of 2; baseline black, 64 steps, 16 in the checks." in text
    assert asked.pop() == {"other": None, "checks": {"steps": 16}}
    facts.clear()
    facts |= {"samples": 50, "noise": 0.15}
    assert "50 samples, noise 15% of each image's range." in words("smoothgrad", seed=3)[0]
    assert asked.pop()["seed"] == 3
    facts.clear()
    facts |= {"layer": "conv1", "channels": 3}
    text = words("score-cam", score_cam_channels=3, layer="conv1")[0]
    assert "Explained: logits, by the maps of conv1." in text
    assert "3 of 4 channels tried, those of the largest spread in each image." in text
    assert asked.pop() == {"channels": 3, "layer": "conv1", "other": None, "checks": None}
    facts.clear()
    facts |= {"relus": [SimpleNamespace(written=w) for w in ("layer", "argument", "layer")], "other_activations": ["a"]}
    text = words("deconvnet")[0]
    assert "All 3 ReLUs rewired: 2 as layer, 1 as argument; a keep their gradient." in text
    checked = verdict(None, None, None, None)[1]
    assert attribution_view._checks_in_words(checked) == (
        "Verdict: passes, like an edge detector. Likeness to the maps with random weights from the last layer down"
        " (mean of 2 images, same from 0.5): to logits rank 0.25, SSIM −0.12; to conv1 rank 0.00, SSIM 0.00. Likeness"
        " to an edge detector: rank 0.75, SSIM 0.50. Likeness to another class: rank 0.50, SSIM 0.25 (same from 0.8)."
    )
    assert "(one image only, same" in attribution_view._checks_in_words(replace(checked, images=1))


def test_pictures_that_raise_channels(drawn, opened, monkeypatch):
    made = MaximizedUnits(
        pictures=np.zeros((4, 16, 14, 3), np.uint8),
        values=np.array([3, 2, -1, -2], np.float32),
        start=np.zeros((16, 14, 3), np.uint8),
        start_values=np.array([0.123, 0, -1, -3], np.float32),
        highest=np.array([5, 4, 1, 0], np.float32),
        moved=np.array([True, True, False, True]),
        score=None,
        rate=0.1,
    )
    best = BestRealImages(np.array([2, 2, -1, -4], np.float32), np.array([0, 5, 9, 23]), 24)
    asked = []
    monkeypatch.setattr(
        maximization_view, "maximize_activation", lambda *given, **more: asked.append(given[1:]) or made
    )
    monkeypatch.setattr(maximization_view, "best_of", lambda *_: [best] * len(asked))
    found = drawn("activation-maximization", layer=("conv1",), channels=(3, 0, 1, 2), unit="middle", steps=2, seed=4)
    ((figure, arrays, line),) = found.values()
    assert list(found) == ["activation-maximization-conv1_middle"]
    assert asked == [(Neuron("bn1", (3, 0, 1, 2), (7, 6)), 4)]
    assert figure.get_suptitle() == "tiny: pictures that raise 4 of 4 channels of conv1"
    result = (
        "2 of 4 pictures above every real image; not above: channel 0; dead, no step had a gradient: channel 1;"
        " not above 0 anywhere, so that relu1 may give nothing: channel 2"
    )
    assert line == f"4 of 4 channels of conv1: {result}"
    words = " ".join(texts(figure))
    assert "Raised: the unit (7, 6) of the map at bn1, which relu1 reads. 2 steps of Adam at 0.1, fourier" in words
    assert (
        f"parameters, seed 4. All values are those of the 8-bit pictures shown; beside each the best of {OF}." in words
    )
    for below in (
        *("made: 3 noise: 0.12 real: 2 00.png", "made: 2 noise: 0 below the real real: 2 05.png"),
        *("made: −1 noise: −1 dead real: −1 09.png", "made: −2 noise: −3 never above 0 real: −4 23.png"),
    ):
        assert below in words
    assert arrays["real_names"].tolist() == ["00.png", "05.png", "09.png", "23.png"]
    asked.clear()
    with pytest.raises(ValueError, match="broadcast"):  # three of four units have a name
        drawn("activation-maximization")
    assert [units for _, units in asked] == [3, 4, 5]  # the classes and up to eight channels of each convolution


@pytest.mark.parametrize(("side", "count", "shown"), [(64, None, 8), (65, None, 4), (65, 9, 9)])
def test_ten_classes_and_eight_channels_of_small_images_or_four_of_large_ones(monkeypatch, side, count, shown):
    image = keras.Input((20, side, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(9, 3, name="conv")(image))
    model = keras.Model(image, layers.Dense(11, name="logits")(x), name="m")
    opened = OpenedModel("m", model, Probe(model), None, None, VisualizeOptions())
    opened.__dict__["images"] = SimpleNamespace(pixels=np.zeros((1, 20, side, 3), np.uint8))
    monkeypatch.setattr(maximization_view, "stream", lambda *given: asked.append(given[2:]))
    monkeypatch.setattr(maximization_view, "best_of", lambda *_: [])
    asked: list = []

    def made(probe, target, units, **options):
        asked.append((target, units, options))
        return SimpleNamespace(score=None)

    monkeypatch.setattr(maximization_view, "maximize_activation", made)
    with pytest.raises(ValueError, match="zip"):  # no best images
        maximization_view.draw(opened, None, count=count)
    options = {"steps": 96, "parametrisation": "fourier", "seed": 0}
    channels = tuple(range(shown))
    assert asked == [
        ("validation", 500),
        (ChannelMean("logits", tuple(range(10))), 10, options),
        (ChannelMean("conv", channels), shown, options),
    ]


def test_a_picture_surpasses_the_real_images_by_more_than_rounding():
    values = np.array([1 + 2e-5, 1 + 0.5e-5, -100 + 2e-3, -100 + 0.5e-3, 5])
    made = SimpleNamespace(values=values, dead=np.array([False] * 4 + [True]))
    best = SimpleNamespace(values=np.array([1, 1, -100, -100, 1.0]))
    found = maximization_view._Comparison(made, best, None)
    assert found.beaten.tolist() == [True, False, True, False, False]


def test_the_attribution_of_one_image_has_the_facts_of_that_image():
    facts = {"difference": np.array([1.0, 2, 3]), "steps": 64, "grid": np.zeros((2, 2)), "layer": "conv"}
    whole = Attribution("m", np.arange(12.0).reshape(3, 2, 2), np.arange(3.0), ("a", "b", "c"), facts)
    part = attribution_view._of_image(whole, 1)
    assert (part.method, part.words, part.scores.tolist()) == ("m", ("b",), [1])
    assert part.values.tolist() == [[[4, 5], [6, 7]]]
    assert part.facts["difference"].tolist() == [2]
    assert (part.facts["steps"], part.facts["layer"], part.facts["grid"].shape) == (64, "conv", (2, 2))


def test_at_most_six_series_and_at_least_two_images_are_measured(opened, tmp_path):
    with pytest.raises(InputError, match="--most: found 1, expected at least 2"):
        views.find("statistics").draw(opened, tmp_path, most=1)
    many = "command line: --against and --images-of: 7 pairs of network and images, expected at most 6"
    with pytest.raises(InputError, match=many):
        views.find("statistics").draw(opened, tmp_path, images_of=("fashion-mini",) * 6)
    with pytest.raises(InputError, match="--most: found 0, expected at least 1"):
        views.find("ablation").draw(opened, tmp_path, most=0)
    with pytest.raises(InputError, match="tiny: conv1: filter -1, expected 0 to 3"):
        views.find("filters").draw(opened, tmp_path, filters=(-1,), layer=("conv1",))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("kernal", "did you mean kernels?"),
        ("Grad_CAM", "did you mean attribution --method grad-cam?"),
        ("layercam", "did you mean attribution --method layer-cam?"),
        ("grads", "expected one of"),  # less than three quarters alike
    ],
)
def test_an_unknown_view_is_told_with_the_nearest_view_or_method(name, hint):
    with pytest.raises(InputError, match=re.escape(hint)):
        views.find(name)
    assert views.find("pairs") is views.VIEWS["kernel-map-pairs"]
    assert [views.is_view(given) for given in ("all", "maximise", "page", "alls")] == [True, True, True, False]


def test_architecture(drawn, opened):
    ((file, arrays, line),) = drawn("architecture").values()
    assert file.read_text().startswith("<svg")
    assert line == f"5 boxes, {opened.model.count_params():,} weights; opens in any browser"
    assert arrays["boxes"].tolist() == ["image", "conv1", "conv2", "gap", "logits"]
    assert arrays["layers"].tolist() == ["image", "conv1 bn1 relu1", "conv2", "gap", "logits"]
    assert arrays["shapes"].tolist() == ["16×14×3", "14×12×4", "12×9×5", "5", "3"]
    assert arrays["weights"].tolist() == [0, 3 * 9 * 4 + 4 + 16, 4 * 12 * 5 + 5, 0, 18]
    assert arrays["arrows"].tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]
    assert (arrays["repeats"] == 1).all()


def test_methods_that_do_not_fit_are_left_out_unless_they_are_named(opened, monkeypatch):
    refused = [attribution_view.METHODS[name] for name in ("guided-backpropagation", "deconvnet")]

    def verdict(method, *given, **options):
        if method in refused:
            raise InputError("no plain ReLUs")
        return None, None

    monkeypatch.setattr(attribution_view, "verdict", verdict)
    explained = attribution_view.explained_targets(few(opened, 1), "bee", None, (), None)
    given = {"layer": None, "channels": 64, "seed": 0}

    def names(*methods) -> list[str]:
        found = attribution_view._attributions(opened, explained, methods, given)
        return [each.name.removesuffix("_bee") for each in found]

    assert names() == [name for name in views.METHODS if name not in ("guided-backpropagation", "deconvnet")]
    with pytest.raises(InputError, match="no plain ReLUs"):
        names("deconvnet")
    refused.append(attribution_view.METHODS["gradient"])
    with pytest.raises(InputError, match="no plain ReLUs"):
        names()
