"""Rows of small pictures: what is shown, that every pixel of a small picture shows, and that nothing is cut off."""

import numpy as np
import pytest

from keras_cnn.figures import detectors, panels, style
from keras_cnn.figures.panels import Panel, PanelRow, coloured, limits, number, sheet, value_range

GENERATOR = np.random.default_rng(0)


def _images(count, side):
    return GENERATOR.integers(0, 256, (count, side, side, 3)).astype(np.uint8)


def test_limits_are_symmetric_where_there_are_both_signs():
    assert limits(np.array([-1.0, 3.0])) == (-3, 3)
    assert limits(np.array([1.0, 3.0])) == (0, 3)
    assert limits(np.array([-4.0, -3.0])) == (-4, 0)
    assert limits(np.zeros(3)) == (0, 1)
    signed = np.array([[-1.0, 0, 2]])
    np.testing.assert_array_equal(coloured(signed), coloured(signed, (-2, 2)))
    np.testing.assert_array_equal(coloured(signed), coloured(2 * signed, (-4, 4)))
    assert (coloured(signed) != coloured(signed, (-4, 4))).any()
    assert limits(np.array([np.nan, 2.0])) == (0, 2)


def test_numbers_are_short_and_have_a_minus_sign():
    assert number(-0.012345) == "−0.0123"
    assert value_range(np.array([-1.0, 0.123456]), 2) == "−1 to 0.12"
    assert value_range(np.array([-0.961, -0.00091]), 2) == "−0.96 to 0"  # it has 14 letters' room below a map
    assert value_range(np.array([3.8e-5, 0.0114]), 2) == "0 to 0.011"
    assert value_range(np.array([2.5e-5, 0.000123])) == "2.5e−5 to 0.000123"
    assert value_range(np.array([-1234.5, 18.26])) == "−1.23e3 to 18"
    assert value_range(np.zeros(3)) == "0 to 0"


def test_zero_is_white_and_the_signs_have_their_colours(rendered):
    picture = np.array([[-2.0, 0.0, 1.0, 2.0]])
    pixels = rendered(sheet([PanelRow([Panel(picture, limits=(-2, 2))])], "title", columns=1)).astype(int)
    row = pixels[pixels.shape[0] * 3 // 5]
    negative, zero, _, positive = (row[int((i + 0.5) / 4 * len(row))] for i in range(4))
    assert negative[2] > negative[0] + 50  # blue
    assert zero.min() > 240
    assert positive[0] > positive[2] + 50  # red


@pytest.mark.parametrize("side", [3, 32, 74, 299])
def test_small_pictures_are_enlarged_by_whole_numbers_and_large_ones_fit(side):
    figure = sheet([PanelRow([Panel(image) for image in _images(4, side)])], "title")
    for ax in figure.axes:
        width = ax.get_position().width * figure.get_figwidth() * style.DPI
        assert width <= 1080 / 4
        if side * 3 <= 250:
            assert width / side == pytest.approx(round(width / side), abs=0.02)
        assert width > 150


def test_a_picture_may_be_one_and_a_half_times_as_high_as_its_place_is_wide():
    figure = sheet([PanelRow([Panel(np.zeros((600, 300, 3), np.uint8))] * 4)], "title")
    size = figure.axes[0].get_position().size * figure.get_size_inches() * style.DPI
    # Four places and three gaps of 0.08 inches in 7 inches: 253 pixels each.
    assert size == pytest.approx((190, 380), abs=2)


def test_a_long_note_is_broken_between_words():
    note = "word " * 60
    figure = sheet([PanelRow([Panel(_images(1, 8)[0])])], "title", note)
    lines = [text.get_text() for text in figure.texts if "word" in text.get_text()]
    assert len(lines) > 1
    assert " ".join(lines).split() == note.split()


def test_a_caption_is_broken_between_words_and_only_a_long_word_is_shortened():
    caption, title = "−0.000123 to 0.000456\n" + "long" * 20, "train/airplane/0021.jpg, true airplane, predicted truck"
    rows = [PanelRow([Panel(image, caption) for image in _images(8, 8)], titles=[title] * 4, span=2)]
    figure = sheet([*rows, PanelRow([Panel(image, "last") for image in _images(8, 8)])], "title")
    lines = [text.get_text() for text in figure.texts]
    assert lines.count("−0.000123 to") == 8
    assert "train/airplane/0021.jpg, true" in lines
    assert "airplane, predicted truck" in lines
    shortened = [text for text in lines if text.startswith("long")]
    assert len(shortened) == 8
    assert all("…" in text for text in shortened)
    below = min(text.get_position()[1] for text in figure.texts if text.get_text() in shortened)
    assert below > max(ax.get_position().y1 for ax in figure.axes[8:])  # the next row stands below all of its lines


def test_nothing_is_cut_off(check_nothing_cut):
    panels_of_a_row = [Panel(GENERATOR.normal(size=(5, 9)), "a\nb", (-1, 1))] * 3
    check_nothing_cut(sheet([PanelRow(panels_of_a_row, "heading", (-1, 1))], "t"))


def test_a_map_over_an_image_covers_it_only_where_it_is_strong():
    image = np.full((8, 8, 3), 200, np.uint8)
    values = np.zeros((8, 8))
    values[2, 3] = 5.0
    figure = sheet([PanelRow([Panel(values, "", (0, 5), image)])], "t")
    below, above = figure.axes[0].images
    assert np.unique(below.get_array()) == 200
    opacity = above.get_alpha()
    assert opacity[2, 3] == pytest.approx(0.8)
    assert np.count_nonzero(opacity) == 1
    assert above.get_cmap().name == panels.POSITIVE


def test_true_and_detected_boxes_of_two_images_stand_in_a_row(monkeypatch):
    shown = []
    monkeypatch.setattr(detectors, "sheet", lambda rows, *_, **__: shown.extend(rows))
    images = [np.full((2, 2, 3), value, np.uint8) for value in range(6)]
    detectors.pairs([(images[2 * i], images[2 * i + 1], f"image {i}") for i in range(3)], "t")
    first, second = (row.panels for row in shown)
    assert [panel.picture.max() for panel in (*first, *second[:2])] == [0, 1, 2, 3, 4, 5]
    assert [panel.caption for panel in first] == ["image 0: true", "found", "image 1: true", "found"]
    assert second[2:] == [None, None]
