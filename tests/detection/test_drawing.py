"""What is drawn lies where it belongs, in colours that can be told apart."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

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
