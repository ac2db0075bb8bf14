"""A detector as a opened: its boxes are those of `detect.py`, and what is explained is the raw number behind them."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_cnn.cli import visualize
from keras_cnn.cli.program import run as run_program
from keras_cnn.data.decoding import read_image
from keras_cnn.detection.darknet import load_darknet
from keras_cnn.detection.network import open_network, save_network
from keras_cnn.detection.yolo import Detector
from keras_cnn.views.support.opened_detector import map_behind
from keras_cnn.views.support.opened_model import VisualizeOptions
from keras_cnn.views.support.opening import open_source

YOLO = "[yolo]\nmask={}\nanchors=8,8,16,12,4,4,6,10\nclasses=2\nnum=4\n"
WIDE = "[convolutional]\nbatch_normalize=1\nfilters={}\nsize=3\nstride={}\npad=1\nactivation=leaky\n"
HEAD = "[convolutional]\nfilters=14\nsize=1\nstride=1\npad=1\nactivation=linear\n"
CFG = "[net]\nheight=32\nwidth=32\nchannels=3\n" + "".join(
    [
        *(WIDE.format(6, 2), WIDE.format(8, 2), HEAD, YOLO.format("0,1")),
        *("[route]\nlayers=1\n", WIDE.format(5, 1), HEAD, YOLO.format("2,3")),
    ]
)
CONVOLUTIONS = ((3, 6, 3, True), (6, 8, 3, True), (8, 14, 1, False), (8, 5, 3, True), (5, 14, 1, False))
WIDTH = 7  # numbers of an anchor: box, objectness, two classes


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path, Path]:
    """cfg and weights of a small detector with two heads, and a photo that is wider than high."""
    folder, generator = tmp_path_factory.mktemp("detector"), np.random.default_rng(0)
    numbers = []
    for inputs, filters, size, normalised in CONVOLUTIONS:
        numbers.append(generator.normal(0, 0.3, filters))
        if normalised:
            numbers += [generator.uniform(0.5, 1.5, filters), generator.normal(0, 0.2, filters)]
            numbers.append(generator.uniform(0.5, 1.5, filters))
        numbers.append(generator.normal(0, 1.5 / np.sqrt(inputs * size * size), filters * inputs * size * size))
    (cfg := folder / "small.cfg").write_text(CFG)
    (folder / "small.names").write_text("ant\nbee\n")
    header = np.array([0, 2, 0], "<i4").tobytes() + np.array([0], "<u8").tobytes()
    (weights := folder / "small.weights").write_bytes(header + np.concatenate(numbers).astype("<f4").tobytes())
    Image.fromarray(generator.integers(0, 256, (20, 50, 3)).astype(np.uint8)).save(photo := folder / "photo.png")
    return cfg, weights, photo


@pytest.fixture
def opened(files):
    cfg, weights, photo = files
    return open_source(str(cfg), VisualizeOptions(images=(photo,), weights=str(weights)))


def test_a_run_on_boxes_is_opened_and_image_count_chooses_among_the_images(files, opened, tmp_path):
    cfg, weights, photo = files
    Image.fromarray(np.full((30, 30, 3), 90, np.uint8)).save(grey := tmp_path / "grey.png")
    save_network(open_network(str(cfg), weights), tmp_path / "run" / "model.keras")
    run = open_source(str(tmp_path / "run"), VisualizeOptions(images=(photo, grey), image_count=1))
    assert (run.name, run.out) == ("run", tmp_path / "run" / "visualizations")
    assert (run.images.names, len(run.given.names)) == (("photo.png",), 2)
    assert len(run.detections) == len(run.letterboxed) == 1
    assert run.caption(0, after_name=": ").removeprefix("photo.png: ") == opened.caption(0).removeprefix("photo.png, ")


def test_boxes_are_those_of_detect(files, opened):
    cfg, weights, photo = files
    network = open_network(str(cfg), weights)
    expected = Detector(network.model, network.heads)(read_image(photo))
    (detections,) = opened.detections
    assert len(detections) == len(expected) > 3
    assert {box.head for box in detections} == {0, 1}
    np.testing.assert_allclose([box.confidence for box in detections], expected.confidences, atol=1e-5)
    np.testing.assert_array_equal([box.class_index for box in detections], expected.classes)
    # 50×20 in 32×32: 32 wide and 12 (20 · 32 // 50) high, ten grey rows above.
    in_letterbox = expected.boxes * np.array([32 / 50, 12 / 20] * 2) + [0, 10, 0, 10]
    np.testing.assert_allclose([box.box for box in detections], in_letterbox, atol=1e-3)
    assert np.all(opened.letterboxed[0, [0, 9, 22, 31]] == 127.5)
    np.testing.assert_allclose(opened.images.pixels, opened.letterboxed, atol=0.5)


def test_the_numbers_behind_a_box_make_its_confidence(files, opened):
    model = load_darknet(*files[:2])
    maps = model(opened.letterboxed, training=False)
    for box in opened.detections[0]:
        raw = maps[box.head].numpy()[0, box.row, box.column, WIDTH * box.anchor : WIDTH * (box.anchor + 1)]
        objectness, probability = 1 / (1 + np.exp(-raw[[4, 5 + box.class_index]].astype(np.float64)))
        assert box.confidence == pytest.approx(objectness * probability, rel=1e-4)
        assert box.next_class == 1 - box.class_index


@pytest.mark.parametrize("number", [1, 4])
def test_score_gradient_and_grad_cam_of_a_box(files, opened, tmp_path, number, capsys):
    cfg, weights, photo = files
    common = ["--weights", str(weights), "--image", str(photo), "--out", str(tmp_path), "--box", str(number)]
    methods = ["--method", "gradient", "grad-cam"]
    assert run_program(visualize.main, [str(cfg), "attribution", *common, *methods]) == 0
    box = opened.detections[0][number - 1]
    assert f"Grad-CAM of the class logit of box {number} at yolo_{(3, 7)[box.head]}: " in capsys.readouterr().out
    model = load_darknet(cfg, weights)
    before = ("leaky_0", "leaky_1")[box.head]  # what the last 3×3 convolution before the head reads
    assert map_behind(opened.probe, opened.probe.outputs[box.head]) == before
    inside = keras.Model(model.inputs[0], [model.get_layer(before).output, *model.outputs])
    image = tf.constant(opened.letterboxed)
    with tf.GradientTape() as tape:
        tape.watch(image)
        values, *maps = inside(image, training=False)
        logit = maps[box.head][0, box.row, box.column, WIDTH * box.anchor + 5 + box.class_index]
    gradient, at_map = (part.numpy() for part in tape.gradient(logit, [image, values]))
    with np.load(next(tmp_path.glob("attribution/gradient_*.npz"))) as arrays:
        assert arrays["scores"][0] == pytest.approx(float(logit), rel=1e-4, abs=1e-5)
        np.testing.assert_allclose(arrays["values"], gradient, rtol=1e-3, atol=1e-7)
        np.testing.assert_array_equal(arrays["boxes"][0], box.box)
        assert arrays["classes"].tolist() == [("ant", "bee")[box.class_index]]
    cam = np.maximum((at_map.mean(axis=(1, 2), keepdims=True) * values.numpy()).sum(axis=-1), 0)
    with np.load(next(tmp_path.glob("attribution/grad-cam_*.npz"))) as arrays:
        np.testing.assert_allclose(arrays["map"], cam, rtol=1e-3, atol=1e-7)


def test_a_saved_detector_and_the_views_that_need_no_classes(files, tmp_path, capsys):
    cfg, weights, photo = files
    save_network(open_network(str(cfg), weights), file := tmp_path / "kept.keras")
    saved = open_source(str(file), VisualizeOptions(images=(photo,)))
    unfolded = open_source(str(cfg), VisualizeOptions(images=(photo,), weights=str(weights)))
    assert "folded" in saved.notes[0]
    assert [box.confidence for box in saved.detections[0]] == pytest.approx(
        [box.confidence for box in unfolded.detections[0]], rel=1e-4
    )
    assert any(block.normalised for block in unfolded.probe.convolutions)
    common = ["--weights", str(weights), "--image", str(photo), "--out", str(tmp_path / "out")]
    for view, options in (("kernels", ()), ("activations", ()), ("pairs", ()), ("maximise", ("--steps", "2"))):
        assert run_program(visualize.main, [str(cfg), view, *common, *options]) == 0
    assert (tmp_path / "out" / "activations" / "conv_0_1_photo.png").is_file()
    assert capsys.readouterr().out.count("pairs, recomputed to") == 3


@pytest.mark.parametrize(
    ("view", "options", "error"),
    [
        ("attribution", ("--box", "400"), "--box 400: photo.png: "),
        ("attribution", ("--target", "ant"), "is a detector: --box N"),
        ("attribution", ("--box", "1", "--neuron", "conv_0"), "--box explains a detection of a detector"),
        ("attribution", ("--method", "deconvnet"), "deconvnet"),
        ("occlusion", (), "occlusion needs a classifier, and this is a detector"),
        ("ablation", (), "ablation needs a classifier, and this is a detector"),
        ("kernels", ("--classes", "a", "b"), "--classes has no meaning for a detector"),
        ("kernels", ("--image-size", "33"), "expected multiples of 32"),
    ],
)
def test_a_view_that_a_detector_cannot_have_is_one_line(files, tmp_path, capsys, view, options, error):
    cfg, weights, photo = files
    common = ["--weights", str(weights), "--image", str(photo), "--out", str(tmp_path)]
    assert run_program(visualize.main, [str(cfg), view, *common, *options]) == 2
    printed = capsys.readouterr().err
    assert error in printed
    assert printed.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_cfg_wants_weights_and_a_classifier_has_no_boxes(files, run, tmp_path, capsys):
    assert run_program(visualize.main, [str(files[0]), "kernels", "--out", str(tmp_path)]) == 0  # those beside it
    alone = tmp_path / "alone.cfg"
    alone.write_bytes(files[0].read_bytes())
    assert run_program(visualize.main, [str(alone), "kernels", "--out", str(tmp_path)]) == 2
    assert f"a cfg has no weights: {tmp_path / 'alone.weights'} does not exist" in capsys.readouterr().err
    arguments = [str(files[0]), "activations", "--weights", str(files[1]), "--out", str(tmp_path)]
    assert run_program(visualize.main, arguments) == 2
    assert "comes without images" in capsys.readouterr().err
    assert run_program(visualize.main, [str(run), "attribution", "--box", "1", "--out", str(tmp_path)]) == 2
    assert "--box explains a detection of a detector" in capsys.readouterr().err
