import numpy as np
import pytest
from matplotlib.image import BboxImage

from keras_cnn.figures import style
from keras_cnn.figures.sheets import (
    augmentation_sheet,
    image_sheet,
    mistake_caption,
    prediction_sheet,
    row_sheet,
    score,
)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def placed(figure) -> list[BboxImage]:
    """The images of a sheet in reading order."""
    return [artist for artist in figure.artists if isinstance(artist, BboxImage)]


def tile_pixels(figure, tile, picture: np.ndarray) -> np.ndarray:
    """What stands in the picture of the figure where the image is."""
    box = tile.get_window_extent()
    x0, x1, y0, y1 = (round(value) for value in (box.x0, box.x1, box.y0, box.y1))
    return picture[len(picture) - y1 : len(picture) - y0, x0:x1]


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.texts if text is not figure._suptitle]


def test_mistake_caption_has_everything_that_is_asked_for():
    assert mistake_caption("a\nb.jpg", "cat", "dog", 0.996).split("\n") == [
        "a□b.jpg",
        "true: cat",
        "predicted: dog",
        "probability: 0.996",
    ]


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (0.93, "0.930"),
        (0.99896, "0.999"),
        (0.99958, "> 0.999"),
        (1.0, "> 0.999"),
        (0.0013, "0.001"),
        (0.00042, "< 0.001"),
        (0.0, "< 0.001"),
    ],
)
def test_a_score_rounds_neither_to_nothing_nor_to_all(probability, text):
    assert score(probability) == text


def test_a_note_stands_between_the_title_and_the_images(check_nothing_cut):
    sheets = [
        (image_sheet(noise(2, 28, 28, 1), ["a", "b"], 5, "Title", "one\ntwo"), ["one", "two", "a", "b"]),
        (
            row_sheet(noise(1, 2, 28, 28, 1), ["row"], [["a", "b"]], "Title", "one\ntwo"),
            ["one", "two", "row", "a", "b"],
        ),
    ]
    for figure, expected in sheets:
        assert texts(figure) == expected
        boxes = [text.get_window_extent() for text in figure.texts]  # the title among them
        boxes += [tile.get_window_extent() for tile in placed(figure)]
        assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[i + 1 :])
        first = next(text for text in figure.texts if text.get_text() == "one").get_window_extent()
        assert placed(figure)[0].get_window_extent().y1 < first.y0
        assert first.y1 < figure._suptitle.get_window_extent().y0
        check_nothing_cut(figure)


@pytest.mark.parametrize(("side", "channels", "columns"), [(28, 1, 5), (28, 1, 8), (32, 3, 6), (32, 3, 5), (7, 3, 1)])
def test_small_images_are_enlarged_by_a_whole_number_pixel_for_pixel(side, channels, columns, rendered):
    images = noise(columns + 2, side, side, channels)
    figure = image_sheet(images, ["x"] * len(images), columns, "Small")
    picture = rendered(figure)
    for image, tile in zip(images, placed(figure), strict=True):
        pixels = tile_pixels(figure, tile, picture)
        scale = len(pixels) // side
        assert scale >= 3
        np.testing.assert_array_equal(pixels, np.broadcast_to(image.repeat(scale, 0).repeat(scale, 1), pixels.shape))


def test_large_images_are_averaged_not_sampled(rendered):
    checkers = np.indices((299, 299)).sum(axis=0) % 2 * 255
    images = np.repeat(checkers.astype(np.uint8)[None, ..., None], 5, axis=0)
    figure = image_sheet(images, ["x"] * 5, 5, "Large")
    tile = tile_pixels(figure, placed(figure)[0], rendered(figure))[10:-10, 10:-10]
    assert abs(tile.astype(int) - 127).max() < 60


def test_wide_images_keep_their_proportions():
    (tile,) = placed(image_sheet(noise(1, 20, 50, 3), ["x"], 3, "Wide"))
    box = tile.get_window_extent()
    assert box.width / box.height == pytest.approx(2.5)


def test_captions_stand_below_their_images_in_reading_order():
    captions = [f"{name}.jpg\ntrue: {name}" for name in "abcde"]
    figure = image_sheet(noise(5, 32, 32, 3), captions, 3, "Five")
    assert figure.get_suptitle() == "Five"
    assert texts(figure) == [line for caption in captions for line in caption.split("\n")]
    names = [text for text in figure.texts if text.get_text().endswith(".jpg")]
    for tile, name in zip(placed(figure), names, strict=True):
        image, text = tile.get_window_extent(), name.get_window_extent()
        assert text.x0 == pytest.approx(image.x0, abs=2)
        assert image.y0 - 20 < text.y1 < image.y0
    tops = [round(tile.get_window_extent().y1) for tile in placed(figure)]
    assert tops[0] == tops[1] == tops[2] > tops[3] == tops[4]


def test_no_caption_reaches_into_the_next_column_or_line():
    captions = [mistake_caption("W" * 60, "golden retriever " * 4, "猫" * 40, 1.0)] * 12
    figure = image_sheet(noise(12, 28, 28, 1), captions, 6, "Long captions")
    found = [text.get_window_extent() for text in figure.texts if text is not figure._suptitle]
    assert len(found) == 48
    for i, one in enumerate(found):
        for other in found[i + 1 :]:
            assert one.x1 < other.x0 or other.x1 < one.x0 or one.y1 <= other.y0 + 1 or other.y1 <= one.y0 + 1
    images = [tile.get_window_extent() for tile in placed(figure)]
    assert not any(image.overlaps(text) for image in images for text in found)


@pytest.mark.parametrize("side", [28, 299])
def test_nothing_is_cut_with_names_from_anywhere(side, check_nothing_cut):
    names = ["猫.jpg", "über straße.jpg", "$5$ and $x^2.jpg", "عربي.png", "x" * 200, "a\nb\t.png", "\udcff.jpg", ""]
    captions = [mistake_caption(name, "true", "predicted", 0.5) for name in names]
    figure = image_sheet(noise(8, side, side, 3), captions, 4, "Names from anywhere: 猫 $ \udcff")
    assert "$5$ and $x^2.jpg" in texts(figure)
    check_nothing_cut(figure)


def test_no_images_give_a_sheet_that_says_so(check_nothing_cut):
    figure = image_sheet(noise(0, 28, 28, 1), [], 5, "Worst mistakes")
    assert texts(figure) == ["no images to show"]
    assert figure.get_suptitle() == "Worst mistakes"
    check_nothing_cut(figure)


def test_augmentation_sheet_has_one_row_an_image_with_the_original_first(rendered, check_nothing_cut):
    sheet = noise(3, 5, 28, 28, 1)
    figure = augmentation_sheet(sheet, ["a.jpg", "b.jpg", "c.jpg"], "Pad and crop")
    assert texts(figure) == ["original", "augmented", "a.jpg", "b.jpg", "c.jpg"]
    assert len(placed(figure)) == 15
    for tile, image in zip(placed(figure), sheet.reshape(15, 28, 28), strict=True):
        np.testing.assert_array_equal(tile.get_array()[..., 0], image)
    lefts = [tile.get_window_extent().x0 for tile in placed(figure)[:5]]
    steps = np.diff(lefts)
    assert steps[0] == pytest.approx(steps[1] + 0.2 * style.DPI, abs=1)  # a wider gap after the original
    assert steps[1:] == pytest.approx(steps[1], abs=1e-6)
    headings = {text.get_text(): text.get_window_extent() for text in figure.texts}
    assert headings["augmented"].x0 == pytest.approx(lefts[1], abs=2)
    assert headings["original"].y0 > placed(figure)[0].get_window_extent().y1
    check_nothing_cut(figure)


def test_augmentation_sheet_without_views_shows_the_originals():
    assert texts(augmentation_sheet(noise(2, 1, 32, 32, 3), ["a", "b"], "None")) == ["original", "a", "b"]


@pytest.mark.parametrize(
    ("images", "captions", "message"),
    [
        (noise(2, 8, 8, 3), ["one"], "1 captions for 2"),
        (noise(2, 8, 8, 4), ["one", "two"], r"\(2, 8, 8, 4\)"),
        (noise(2, 8, 8), ["one", "two"], r"\(2, 8, 8\)"),
        (noise(2, 8, 8, 3) / 255, ["one", "two"], "float64"),
    ],
)
def test_wrong_images_and_captions_are_refused(images, captions, message):
    with pytest.raises(ValueError, match=message):
        image_sheet(images, captions, 2, "Wrong")


def test_rows_have_their_heading_above_and_their_captions_below(rendered, check_nothing_cut):
    images = noise(3, 10, 28, 28, 1)
    captions = [[f"{row}.{column}\nautomobile" for column in range(10)] for row in range(3)]
    figure = row_sheet(images, ["highest", "lowest", "another"], captions, "Scores")
    assert len(placed(figure)) == 30
    for tile, image in zip(placed(figure), images.reshape(30, 28, 28), strict=True):
        np.testing.assert_array_equal(tile.get_array()[..., 0], image)
    places = {text.get_text(): text.get_window_extent() for text in figure.texts}
    first, last = (placed(figure)[i].get_window_extent() for i in (10, 19))
    assert places["lowest"].y0 > first.y1
    assert places["lowest"].y1 < places["0.0"].y0  # below the captions of the row above
    assert places["1.0"].y1 <= first.y0
    assert places["1.9"].x0 == pytest.approx(last.x0, abs=2)
    assert texts(figure).count("automobile") == 30  # ten letters fit a column
    check_nothing_cut(figure)


def test_a_row_of_fewer_images_has_tiles_of_the_same_size():
    few = row_sheet(noise(1, 3, 32, 32, 3), ["highest"], [["a\nb"] * 3], "Few")
    full = row_sheet(noise(1, 10, 32, 32, 3), ["highest"], [["a\nb"] * 10], "Full")
    assert [round(placed(sheet)[0].get_window_extent().width, 6) for sheet in (few, full)] == [96, 96]  # three times 32


def test_predictions_stand_beside_their_images_and_wrong_ones_are_marked(check_nothing_cut):
    captions = ["a.jpg\ntrue: cat\ncat, 90.00%", "b.jpg\ntrue: cat\ndog, 51.00%", "c.jpg\ntrue: dog\ndog, 70.00%"]
    figure = prediction_sheet(noise(3, 32, 32, 3), captions, [True, False, True], 2, "Sample")
    assert texts(figure) == [
        *("a.jpg", "true: cat", "cat, 90.00%"),
        *("b.jpg", "true: cat", "✗ dog, 51.00%"),
        *("c.jpg", "true: dog", "dog, 70.00%"),
    ]
    colours = {text.get_text(): text.get_color() for text in figure.texts}
    assert colours["✗ dog, 51.00%"] == style.ORANGE
    assert colours["cat, 90.00%"] == colours["dog, 70.00%"] == style.INK
    boxes = {text.get_text(): text.get_window_extent() for text in figure.texts}
    tiles = [tile.get_window_extent() for tile in placed(figure)]
    assert tiles[0].x1 < boxes["a.jpg"].x0 < boxes["a.jpg"].x1 < tiles[1].x0
    assert tiles[2].x0 == tiles[0].x0
    assert tiles[0].width == pytest.approx(128)  # four times 32 pixels
    check_nothing_cut(figure)


@pytest.mark.parametrize("shape", [(28, 28, 1), (300, 200, 3), (20, 60, 3)])
def test_a_sheet_of_predictions_is_never_cut_and_keeps_proportions(shape, check_nothing_cut):
    captions = [f"{'W' * 40}.jpg\ntrue: {'long name ' * 5}\n{'another name ' * 5}"] * 7
    figure = prediction_sheet(noise(7, *shape), captions, [False] * 7, 3, "Long captions")
    box = placed(figure)[0].get_window_extent()
    assert box.width / box.height == pytest.approx(shape[1] / shape[0], rel=0.02)
    check_nothing_cut(figure)
    found = [text.get_window_extent() for text in figure.texts if text is not figure._suptitle]
    assert not any(tile.get_window_extent().overlaps(text) for tile in placed(figure) for text in found)


def test_no_predictions_and_no_rows_give_sheets_that_say_so():
    assert texts(prediction_sheet(noise(0, 28, 28, 1), [], [], 3, "Sample")) == ["no images to show"]
    assert texts(row_sheet(noise(0, 10, 28, 28, 1), [], [], "Scores")) == ["no images to show"]
    with pytest.raises(ValueError, match="1 captions for 2"):
        prediction_sheet(noise(2, 8, 8, 3), ["one", "two"], [True], 2, "Wrong")
    with pytest.raises(ValueError, match="1 captions for 2"):
        row_sheet(noise(1, 2, 8, 8, 3), ["row"], [["one"]], "Wrong")
