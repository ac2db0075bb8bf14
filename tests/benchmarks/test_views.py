"""The benchmark of all views from start to end, with few views of a network at which its numbers mean nothing."""

import re

from benchmarks import views as benchmark
from keras_cnn import views


def test_it_prints_seconds_by_view(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "IMAGES", {"train": 20, "val": 40, "test": 10})
    monkeypatch.setattr(benchmark, "NETWORK", {"l1_oc": 2})
    monkeypatch.setattr(views, "VIEWS", {name: views.VIEWS[name] for name in ("filters", "statistics", "embedding")})
    benchmark.main()
    printed = capsys.readouterr().out
    found = re.findall(r"^(\S+) +(\d+\.\d) s", printed, re.M)
    assert [name for name, _ in found] == ["opened", "filters", "statistics", "embedding", "all"]
    assert re.search(r"^all .* target at most 300 s$", printed, re.M)
