"""The largest cell of a sweep, and what it costs, worked out by hand."""

import pytest

from keras_cnn.sweeps import cost, plan
from keras_cnn.sweeps.sweep_file import read_sweep

BASE = """
data: {source: fashion-mini, train: 100}
tracking: {wandb: off}
"""
SWEEP = """
method: random
run_cap: 5
parameters:
  model.table: {values: ["[{conv: 4, kernel: 3}, {flatten: }]", "[{conv: 8, kernel: 3}, {flatten: }]", impossible]}
  optim.optimizer: {values: [sgd, adam]}
  optim.learning_rate: {min: 0.001, max: 0.01}
  train.batch_size: {values: [20, 500, 30]}
  train.epochs: {values: [3, 6, 2]}
  model.name: {value: layers}
keras_cnn: {base: base.yaml}
"""


@pytest.fixture
def sweep(tmp_path):
    (tmp_path / "base.yaml").write_text(BASE)

    def read(text: str = SWEEP):
        (tmp_path / "s.yaml").write_text(text)
        return tmp_path / "s.yaml"

    return read


def test_the_largest_cell_by_hand(sweep):
    """Of 100 images of 28×28 pixels with 8 channels of 3×3 weights, for 6 epochs, with Adam's two moments."""
    read = plan.read(sweep(), [], None)
    found = read.largest
    chosen = {name: found.assignment[name] for name in ("optim.optimizer", "train.batch_size", "train.epochs")}
    assert chosen == {"optim.optimizer": "adam", "train.batch_size": 500, "train.epochs": 6}
    assert "conv: 8" in found.assignment["model.table"]
    side = 28
    convolution, dense = side * side * 9 * 8, side * side * 8 * 10
    assert found.parameters == 9 * 8 + 8 + side * side * 8 * 10 + 10
    assert found.multiply_adds == 3 * (convolution + dense) * 100 * 6
    outputs = 2 * side * side * (1 + 8) + 10  # of input, rescaling, convolution, flattening and head
    assert found.memory == 4 * (found.parameters * (1 + 1 + 2) + 100 * outputs)
    first, *_ = plan.cost_lines(read)
    assert first == (
        f"largest   cell: {found.multiply_adds:.1e} multiply-adds, {found.memory / 2**30:.2g} GiB,"
        f" {found.parameters:,} weights"
    )


def test_a_cell_above_half_of_the_free_memory_or_1e14_multiply_adds_is_too_large(monkeypatch):
    def above(multiply_adds: float, memory: float, available: float) -> bool:
        monkeypatch.setattr(cost, "available_memory", lambda: available)
        return cost.CellCost(multiply_adds, memory, 1, {}).above_limit

    assert [above(n, 0.0, 100.0) for n in (1e14, 1.01e14)] == [False, True]
    assert [above(0.0, memory, 100.0) for memory in (50.0, 50.1)] == [False, True]
    assert not above(0.0, 1e9, 0.0)  # not known


def test_the_values_that_are_tried_are_spread_over_all(sweep):
    text = """
method: random
parameters:
  data.augment.name: {values: [none, light]}
  data.source: {values: [fashion-mini, fashion-mnist]}
  model.dropout: {min: 0.0, max: 0.5}
  optim.momentum: {values: [0.1, 0.2]}
  seed: {value: 1}
  train.batch_size: {values: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]}
  train.epochs: {min: 1, max: 30}
"""
    found = dict(cost._costly(read_sweep(sweep(text))))
    assert list(found) == ["data.source", "model.dropout", "train.batch_size", "train.epochs"]
    assert found["model.dropout"] == pytest.approx([0, 0.125, 0.25, 0.375, 0.5, 0.5])
    assert found["train.batch_size"] == [*range(1, 13), 12]
    assert found["train.epochs"] == [*range(1, 30, 3), 30]
