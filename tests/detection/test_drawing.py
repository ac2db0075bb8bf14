"""What is drawn lies where it belongs, in colours that can be told apart."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from keras_cnn.detection.counting import read_gate
from keras_cnn.detection.drawing import annotated

NAMES = [f"class {number}" for number in range(80)]


def one(box, number=0, confidence=0.5, track=None) -> dict:
    return {"track": track, "class": NAMES[number], "confidence": confidence, "box": box}


def test_a_box_is_drawn_at_its_edges_and_the_picture_is_not_touched():
    image = np.full((300, 400, 3), 128, np.uint8)
    drawn = annotated(image, [one([100, 120, 200, 220])], NAMES)
    assert (image == 128).all()
    changed = (drawn != 128).any(axis=-1)
    assert changed[220, 150]
    assert changed[170, 100]
    assert changed[170, 200]
    assert not changed[170, 150]
    assert not changed[235:].any()
    assert not changed[:, 210:].any()


def test_boxes_out_of_the_picture_are_cut_off():
    image = np.full((60, 80, 3), 128, np.uint8)
    for box in ([-50, -50, 200, 200], [70, 50, 90, 70], [100, 100, 120, 120], [-30, -30, -10, -10]):
        assert annotated(image, [one(box, track=3)], NAMES).shape == image.shape


def test_classes_differ_in_colour():
    image = np.zeros((100, 100, 3), np.uint8)
    colours = [annotated(image, [one([10, 60, 90, 90], number)], NAMES)[90, 50].tolist() for number in range(80)]
    assert len({tuple(colour) for colour in colours}) == 80
    assert min(np.abs(np.subtract(a, b)).max() for a, b in pairwise(colours)) > 60


@pytest.mark.parametrize(("line", "row", "column"), [("0,150,399,150", 150, 300), ("250,0,250,299", 280, 250)])
def test_gates_and_their_totals_are_drawn(line, row, column):
    image = np.full((300, 400, 3), 128, np.uint8)
    gate = read_gate(line, "line 1", 2)
    drawn = annotated(image, [], NAMES, [gate], {"line 1": Counter({(gate.directions[0], "class 1"): 3})})
    assert drawn[row, column].tolist() == [255, 59, 129]
    assert drawn[2, 2].max() < 100  # the panel's dark ground


class Drawn:
    """The rectangles and texts of labels, as Pillow is asked to draw them."""

    def __init__(self, monkeypatch):
        self.rectangles, self.texts = [], []
        monkeypatch.setattr(ImageDraw.ImageDraw, "rectangle", lambda _, xy, **look: self.rectangles.append((xy, look)))
        monkeypatch.setattr(
            ImageDraw.ImageDraw, "text", lambda _, xy, text, **look: self.texts.append((xy, text, look))
        )

    def boxes(self) -> list[tuple]:
        return [xy for xy, look in self.rectangles if "outline" in look]

    def labels(self) -> list[tuple]:
        """The corner x, y of each label, the most confident first."""
        return [xy[:2] for xy, look in reversed(self.rectangles) if "fill" in look]


@pytest.fixture
def pillow(monkeypatch) -> Drawn:
    return Drawn(monkeypatch)


@pytest.mark.parametrize(
    ("size", "line", "letters"), [((900, 1200), 3, 24), ((1200, 600), 2, 16), ((100, 60), 1, 11), ((450, 2000), 2, 12)]
)
def test_lines_and_letters_grow_with_the_shorter_side(pillow, size, line, letters):
    image = np.zeros((*size, 3), np.uint8)
    height, width = size
    annotated(image, [one([-5, -6, width + 5, height + 6])], NAMES)
    annotated(image, [one([10, 20, 30, 40])], NAMES)
    assert pillow.boxes() == [(0, 0, width - 1, height - 1), (10, 20, 30, 40)]
    assert pillow.rectangles[0][1]["width"] == line
    assert pillow.texts[0][2]["font"].size == letters


def label_size(text: str = "class 0 0.50", letters: int = 24, line: int = 3) -> tuple[int, int]:
    """Width and height of a label: its text with a margin of two lines at each side, 1.5 above and below."""
    left, top, right, bottom = ImageFont.load_default(letters).getbbox(text)
    return right - left + 4 * line, bottom - top + 3 * line


WIDE, HIGH = label_size()  # of the labels in an image of 900x1200


@pytest.mark.parametrize(
    ("box", "corner"),
    [
        ([300, 400, 700, 800], (300, 400 - HIGH)),  # above
        ([300, HIGH, 700, 800], (300, 0)),
        ([300, HIGH - 1, 700, 800], (300, 800)),  # below
        ([300, 0, 700, 900 - HIGH], (300, 900 - HIGH)),
        ([300, 10, 700, 901 - HIGH], (300, 10)),  # inside, at the upper edge
        ([1199 - WIDE, 400, 1199, 800], (1199 - WIDE, 400 - HIGH)),
        ([1190, 400, 1230, 800], (1200 - WIDE, 400 - HIGH)),
    ],
)
def test_a_label_stands_where_there_is_room(pillow, box, corner):
    annotated(np.zeros((900, 1200, 3), np.uint8), [one(box)], NAMES)
    (_, label), ((x, y), _, _) = pillow.rectangles[:2], pillow.texts[0]
    assert label[0] == (*corner, corner[0] + WIDE, corner[1] + HIGH)
    left, top, right, bottom = ImageFont.load_default(24).getbbox("class 0 0.50", anchor="la")
    assert (x + left, x + right) == (corner[0] + 6, corner[0] + WIDE - 6)
    assert (y + top, y + bottom) == (corner[1] + 4.5, corner[1] + HIGH - 4.5)


def test_a_label_in_a_low_and_narrow_image_stays_inside(pillow):
    wide, high = label_size(letters=11, line=1)
    for height, row in ((2 * high - 2, high - 2), (high - 3, 0)):
        pillow.rectangles.clear()
        annotated(np.zeros((height, wide - 9, 3), np.uint8), [one([20, high - 1, 30, high - 1])], NAMES)
        assert pillow.labels() == [(0, row)]


def test_labels_do_not_cover_each_other(pillow):
    """Five boxes at nearly one place, and one beside and one below the first label."""
    image = np.zeros((900, 1200, 3), np.uint8)
    same = [one([300 + n, 400, 700, 800], confidence=(9 - n) / 10) for n in range(5)]
    annotated(image, same, NAMES)
    rows = [400 - HIGH, 800, 400, 800 - HIGH, 400 - HIGH]  # above, below, inside above, inside below; none is free
    assert pillow.labels() == [(300 + n, row) for n, row in enumerate(rows)]
    wide, _ = label_size("class 0 0.90")
    for shift, moved in (((wide, 0), False), ((wide - 1, 0), True), ((0, HIGH), False), ((0, HIGH - 1), True)):
        pillow.rectangles.clear()
        x, y = 300 + shift[0], 400 + shift[1]
        annotated(image, [one([x, y, 1100, 850]), one([300, 400, 700, 800], confidence=0.9)], NAMES)
        assert pillow.labels()[1] == (x, 850 if moved else y - HIGH)


def test_the_most_confident_label_lies_on_top_and_one_box_has_one_label(pillow):
    """Darknet may give one box to several classes; a true box has no confidence."""
    box = [30.0, 40, 90, 99]
    found = [one(box, 1, 0.256), one([60, 70, 80, 90], 3, None), one(box, 2, 0.75, 7), one([5, 5, 20, 20], 0, 0.5)]
    annotated(np.zeros((100, 100, 3), np.uint8), found, NAMES)
    assert [text for _, text, _ in pillow.texts] == ["class 3", "class 0 0.50", "#7 class 2 0.75, class 1 0.26"]
    colours = [look["fill"] for _, look in pillow.rectangles if "fill" in look]
    assert colours == ["#5230f2", "#30b8f2", "#47f230"]
    assert [look["fill"] for *_, look in pillow.texts] == ["#ffffff", "#000000", "#000000"]  # white on the dark blue
    assert [look["outline"] for _, look in pillow.rectangles if "outline" in look] == colours[::-1]
    annotated(np.zeros((100, 100, 3), np.uint8), [one(box, 1), one([60, 70, 80, 90], 4)], NAMES)
    assert [look["fill"] for *_, look in pillow.texts[3:]] == ["#000000", "#ffffff"]  # luma 150 and 115


def test_a_zone_is_closed_with_a_dot_at_each_corner_and_its_totals_have_a_margin():
    image = np.full((900, 1200, 3), 128, np.uint8)
    gates = [read_gate("300,300,900,300,900,600,300,600", "zone 1", 3), read_gate("500,0,500,899", "line 1", 2)]
    totals = {"zone 1": Counter(), "line 1": Counter({("left", "car"): 1200, ("left", "bus"): 3})}
    drawn = annotated(image, [], NAMES, gates, totals)
    line = (drawn == [255, 59, 129]).all(axis=-1)
    assert line[280:320, 700].sum() == line[450, 280:320].sum() == line[450, 880:920].sum() == 6
    rows, columns = np.nonzero(line[:, :490])
    assert (rows.min(), rows.max(), columns.min()) == (291, 609, 291)
    assert np.nonzero(line[:, 520:])[1].max() + 520 == 909
    text = "zone 1:  in 0  |  out 0\nline 1:  left 1203 (bus 3, car 1200)  |  right 0"
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    left, top, right, bottom = pen.multiline_textbbox((0, 0), text, font=ImageFont.load_default(24), spacing=6)
    panel = (drawn != 128).any(axis=-1) & ~line
    rows, columns = np.flatnonzero(panel[:, 3]), np.flatnonzero(panel[3, :480])
    assert (rows.max(), columns.max()) == (bottom - top + 24, right - left + 24)
    ink_rows, ink_columns = np.nonzero((drawn[: rows.max(), : columns.max()] > 220).all(axis=-1))
    assert (ink_rows.min(), ink_columns.min()) == pytest.approx((12, 12), abs=1)
    assert (ink_rows.max(), ink_columns.max()) == pytest.approx((rows.max() - 12, columns.max() - 12), abs=2)
