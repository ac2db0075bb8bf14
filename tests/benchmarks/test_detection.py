"""The benchmark of detection from start to end, on a network at which its numbers mean nothing."""

import re

import numpy as np

from benchmarks import detection, interleave

CFG = """[net]
height=32
width=32
channels=3
[convolutional]
filters=7
size=8
stride=8
activation=linear
[yolo]
mask=0
anchors=8,8
num=1
classes=2
"""


def test_it_prints_rates_ratios_and_the_share_of_decoding(tmp_path, monkeypatch, capsys):
    header = np.array([0, 2, 0, 0, 0], "<i4").tobytes()
    (tmp_path / "yolov3-tiny.cfg").write_text(CFG)
    (tmp_path / "yolov3-tiny.weights").write_bytes(header + np.full(7 + 7 * 3 * 64, 0.01, "<f4").tobytes())
    monkeypatch.setenv("KERAS_CNN_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(interleave, "ROUNDS", 1)
    monkeypatch.setattr(detection, "FRAMES", 2)
    monkeypatch.setattr(detection, "LIBRARY", tmp_path / "none")  # Darknet's library stays out of the tests' process
    detection.main()
    printed = capsys.readouterr().out
    assert len(re.findall(r"\d+ images/s", printed)) >= 2
    assert re.search(r"decoding and suppression: \d+\.\d% of a frame's time   target 5 %", printed)


def test_it_is_left_out_without_weights(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_CNN_WEIGHTS", str(tmp_path))
    detection.main()
    assert "left out" in capsys.readouterr().out
