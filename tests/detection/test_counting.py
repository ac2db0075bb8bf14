"""Crossings worked out by hand, and tracks of boxes that move as objects do."""

import numpy as np
import pytest

from keras_cnn.detection.boxes import Detections
from keras_cnn.detection.counting import FORGOTTEN, CrossingCounter, read_gate
from keras_cnn.detection.object_tracker import ObjectTracker
from keras_cnn.errors import InputError
from keras_cnn.figures.detections import crossings as crossings_figure


def box(x, y, side=20) -> np.ndarray:
    return np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], float)


def walk(counter, places, track=1, name="car", start=0):
    """A track's centres frame by frame; the directions in which it crosses."""
    found = []
    for number, place in enumerate(places, start):
        found += counter.update(number, number / 10, [(track, name, 0.9, box(*place))])
    return [(crossing.frame, crossing.direction) for crossing in found]


@pytest.mark.parametrize(
    ("line", "start", "end", "direction"),
    [
        ("0,50,100,50", (50, 40), (50, 60), "down"),
        ("100,50,0,50", (50, 40), (50, 60), "down"),
        ("0,50,100,50", (50, 60), (50, 40), "up"),
        ("50,0,50,100", (40, 50), (60, 50), "right"),
        ("50,100,50,0", (60, 50), (40, 50), "left"),
    ],
)
def test_directions_are_those_on_the_screen(line, start, end, direction):
    assert walk(CrossingCounter([read_gate(line, "line 1", 2)]), [start, end]) == [(1, direction)]


def test_lines_between_pixels_count_where_they_are():
    """A line at y = 50.5: a box of 20 pixels is clear of it beyond 49.5 and 51.5."""
    gate = read_gate("0.25,50.5,99.75,50.5", "line 1", 2)
    assert gate.points.tolist() == [[0.25, 50.5], [99.75, 50.5]]
    assert gate.distance(np.array([50, 52.25])) == 1.75
    assert walk(CrossingCounter([gate]), [(50, 49.4), (50, 51.4), (50, 51.6)]) == [(2, "down")]
    assert walk(CrossingCounter([gate]), [(50, 49.6), (50, 51.6)]) == []  # it was never clear of the line above


def test_only_the_line_itself_counts():
    counter = CrossingCounter([read_gate("0,50,100,50", "line 1", 2)])
    assert walk(counter, [(120, 40), (120, 60)], track=1) == []  # beside its end
    assert walk(counter, [(90, 40), (115, 60)], track=2) == []  # 50 is reached at x = 102.5
    assert walk(counter, [(90, 40), (105, 60)], track=3) == [(1, "down")]  # at x = 97.5
    assert walk(counter, [(50, 40), (50, 45), (50, 30)], track=4) == []


def test_trembling_on_the_line_counts_once_and_turning_back_twice():
    counter = CrossingCounter([read_gate("0,50,100,50", "line 1", 2)])
    trembling = [(50, 40), (50, 49.5), (50, 50.5), (50, 49.2), (50, 50.9), (50, 52), (50, 60)]
    assert walk(counter, trembling) == [(5, "down")]  # clear of the line by more than 0.05 of the box's 20 pixels
    assert walk(counter, [(50, 40)], start=7) == [(7, "up")]


def test_a_lost_track_that_comes_back_beyond_the_line_has_crossed():
    counter = CrossingCounter([read_gate("0,50,100,50", "line 1", 2)])
    walk(counter, [(50, 40)])
    counter.update(1, 0.1, [])
    assert walk(counter, [(50, 70)], start=5) == [(5, "down")]


def test_zones_count_in_and_out_also_concave_ones():
    counter = CrossingCounter([read_gate("0,0,60,0,60,60,30,20,0,60", "zone 1", 3)])
    assert walk(counter, [(-20, 10), (10, 10), (30, 50), (50, 20), (90, 20)]) == [
        (1, "in"),
        (2, "out"),
        (3, "in"),
        (4, "out"),
    ]
    assert counter.totals["zone 1"] == {("in", "car"): 2, ("out", "car"): 2}


def test_a_crossing_has_the_class_that_the_track_was_taken_for_most():
    counter = CrossingCounter([read_gate("0,50,100,50", "line 1", 2)])
    for number, (name, confidence) in enumerate([("car", 0.4), ("truck", 0.3), ("truck", 0.3)]):
        counter.update(number, number, [(1, name, confidence, box(50, 30 + number))])
    (crossing,) = counter.update(3, 3.0, [(1, "car", 0.1, box(50, 70))])
    assert (crossing.name, crossing.direction, crossing.track) == ("truck", "down", 1)


def test_tracks_that_are_gone_leave_memory():
    counter = CrossingCounter([read_gate("0,50,100,50", "line 1", 2)])
    for number in range(1000):
        counter.update(number, number * FORGOTTEN / 10, [(number, "car", 0.5, box(1, 1))])
    assert len(counter._tracks) <= 11


@pytest.mark.parametrize(
    ("text", "least", "message"),
    [
        ("1,2,3", 2, "line 1: 3 numbers, expected 4: x1,y1,x2,y2"),
        ("1,2,3,4,5,6", 2, "6 numbers"),
        ("1,2,a,4", 2, "found '1,2,a,4', expected pixels separated by commas"),
        ("1,2,1,2", 2, "expected 2 different points"),
        ("1,2,3,4", 3, "4 numbers, expected x1,y1,x2,y2,x3,y3 or more"),
    ],
)
def test_gates_that_are_none(text, least, message):
    with pytest.raises(InputError, match=message):
        read_gate(text, "line 1", least)


def detections(*rows) -> Detections:
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([row[1] for row in rows], int), np.array([row[2] for row in rows], np.float32))


def test_two_objects_of_a_class_keep_their_numbers_while_they_pass_and_one_is_weak_for_a_while():
    tracker, numbers = ObjectTracker(25, 0.25), {"right": set(), "left": set()}
    for step in range(40):
        weak = 0.15 if 15 < step < 20 else 0.8
        found = detections((box(10 + 5 * step, 30), 2, weak), (box(205 - 5 * step, 70), 2, 0.8))
        tracks, first = tracker.update(found)
        assert first.all()
        if step > 1:
            numbers["right"].add(int(tracks[0]))
            numbers["left"].add(int(tracks[1]))
    assert [len(seen) for seen in numbers.values()] == [1, 1]
    assert numbers["right"] != numbers["left"]
    assert -1 not in numbers["right"] | numbers["left"]


def test_one_object_of_two_classes_is_one_track():
    tracker = ObjectTracker(25, 0.25)
    for step in range(5):
        tracks, first = tracker.update(detections((box(10 + step, 30), 2, 0.8), (box(10 + step, 30.5), 7, 0.6)))
    assert first.tolist() == [True, False]
    assert tracks[0] >= 0
    assert tracks[1] == -1
    assert [len(part) for part in tracker.update(detections())] == [0, 0]


def test_the_chart_has_a_step_a_crossing():
    figure = crossings_figure({"line 1": {("down", "car"): [3.0, 1.0]}, "zone 1": {}}, 5.0, "Crossings")
    (line,) = figure.axes[0].get_lines()
    assert line.get_xdata().tolist() == [0, 1, 3, 5]
    assert line.get_ydata().tolist() == [0, 1, 2, 2]
    assert line.get_label() == "car down: 2"
    assert figure.axes[1].texts[0].get_text() == "no crossing"
    with pytest.raises(ValueError, match="no gate"):
        crossings_figure({}, 5.0, "Crossings")
