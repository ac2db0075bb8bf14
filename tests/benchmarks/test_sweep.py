"""The benchmark of a sweep's cost, from start to end on a size at which its numbers mean nothing."""

import re

from benchmarks import sweep


def test_a_sweep_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "IMAGES", 140)
    monkeypatch.setattr(sweep, "TESTED", 20)
    monkeypatch.setattr(sweep, "EPOCHS", 2)
    monkeypatch.setattr(sweep, "CELLS", 2)
    seconds, histories = sweep.measure(tmp_path)
    assert [len(history) for history in histories] == [2, 2]
    shown = sweep.report(seconds, histories)
    assert re.search(r"^a sweep of 2 small networks, \d+ s, over .*: \d+\.\d{3}   target at most 1\.15$", shown, re.M)


def test_the_ratio_is_of_the_whole_time_to_the_steps():
    history = [{"epoch_seconds": 4.0, "run_seconds": 4.5}, {"epoch_seconds": 6.0, "run_seconds": 11.0}]
    first, second = sweep.report(23.0, [history, history]).splitlines()
    assert first == "a sweep of 2 small networks, 23 s, over their training steps, 20 s: 1.150   target at most 1.15"
    assert second == "beyond the steps, a network: validation 1.00 s, all else 0.50 s"
