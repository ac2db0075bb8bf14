"""What the kept runs say: numbers of one run, means over cells and epochs, and how much another seed changes them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_cnn.evaluation.intervals import student_t, wilson
from reproduction.verdicts import Measured, NotMeasured

Result = Mapping[str, Any]  # what `results.read` returns
WORDS = {
    "loss": "training loss",
    "accuracy": "training accuracy",
    "val_loss": "validation loss",
    "val_accuracy": "validation accuracy",
    "test_loss": "test loss",
    "test_accuracy": "test accuracy",
    "overfit": "overfit%",
    "epoch_seconds": "seconds of an epoch",
}
ACCURACY, LOSS, PERCENT = (0.0, 1.0), (0.0, math.inf), (0.0, 100.0)


@dataclass(frozen=True)
class Quantity:
    """A number of a run, with its name and the range that it cannot leave."""

    of: Callable[[Result], float]
    name: str = ""
    limits: tuple[float, float] = (-math.inf, math.inf)

    def __call__(self, result: Result) -> float:
        return self.of(result)


def column(result: Result, name: str) -> np.ndarray:
    """(E,) a column of the epochs; "overfit" is 100 (train - test accuracy), 0 where that is negative."""
    epochs = result["epochs"]
    if name == "overfit":
        return 100 * np.maximum(0.0, np.subtract(epochs["accuracy"], epochs["test_accuracy"]))
    return np.asarray(epochs[name], float)


def last(name: str) -> Quantity:
    return _of_column(name, lambda values: values[-1], "{} of the last epoch")


def at(name: str, epoch: int) -> Quantity:
    """The value after an epoch, counted from 1; nan for shorter runs."""
    return _of_column(
        name, lambda values: values[epoch - 1] if len(values) >= epoch else math.nan, f"{{}} after epoch {epoch}"
    )


def mean(name: str) -> Quantity:
    """The mean over all epochs."""
    return _of_column(name, np.mean, "{}, mean of all epochs")


def median(name: str) -> Quantity:
    """The median of all epochs."""
    return _of_column(name, np.median, "{}, median of all epochs")


def unsteadiness(name: str) -> Quantity:
    """How far a column moves up and down: the mean of its absolute changes less the absolute mean of its changes."""
    words = "{}, mean size of its changes from epoch to epoch less that of their mean"
    return _of_column(name, lambda v: np.abs(np.diff(v)).mean() - abs(np.diff(v).mean()), words)


def best_epoch(by: str, smallest: bool = False, epochs: float = math.inf) -> Quantity:
    """The epoch, counted from 1 to `epochs`, with the largest or smallest value; the first of equal ones."""

    def epoch(result: Result) -> float:
        values = column(result, by)
        return float((values.argmin() if smallest else values.argmax()) + 1)

    return Quantity(epoch, f"epoch of the {'lowest' if smallest else 'highest'} {WORDS[by]}", (1.0, epochs))


def at_best(name: str, by: str, smallest: bool = False) -> Quantity:
    """The value at the epoch with the largest or smallest value of another column."""
    choose, kind = best_epoch(by, smallest), "lowest" if smallest else "highest"
    words = f"{kind} {WORDS[by]}" if name == by else f"{WORDS[name]} at the {kind} {WORDS[by]}"
    return Quantity(lambda result: float(column(result, name)[int(choose(result)) - 1]), words, _limits(name))


def minus(first: Quantity, second: Quantity) -> Quantity:
    return Quantity(lambda result: first(result) - second(result))


def chosen(name: str) -> Quantity:
    """A number of the epoch that validation chose."""
    words = f"{name.replace('_', ' ')} of the epoch that validation chose"
    return Quantity(lambda result: float(result["chosen"][name]), words, _limits(name))


def _of_column(name: str, choose: Callable[[np.ndarray], float], words: str) -> Quantity:
    return Quantity(lambda result: float(choose(column(result, name))), words.format(WORDS[name]), _limits(name))


def _limits(name: str) -> tuple[float, float]:
    return ACCURACY if "accuracy" in name else PERCENT if name == "overfit" else LOSS


@dataclass(frozen=True)
class Runs:
    """The results that are kept, by experiment and seed."""

    results: tuple[Result, ...]

    @property
    def trained(self) -> list[Result]:
        """The results of training runs."""
        return [result for result in self.results if "epochs" in result]

    def look(self, name: str) -> Mapping[str, Any] | None:
        """What a look at networks found; None if it waits."""
        return next((result["findings"] for result in self.results if result["experiment"] == name), None)

    def of(self, name: str) -> list[Result]:
        """The runs of an experiment, one for each seed."""
        return [result for result in self.results if result["experiment"] == name]

    def cells(self, prefix: str) -> dict[str, Result]:
        """The runs with seed 1 of all experiments of a grid, by name."""
        found = [r for r in self.trained if r["experiment"].startswith(f"{prefix}.") and r["seed"] == 1]
        return {result["experiment"]: result for result in found}

    def spread(self, prefix: str, quantity: Quantity) -> tuple[float, int] | None:
        """The standard deviation over seeds of the same experiment, pooled over a grid, and its degrees of freedom."""
        names = {r["experiment"] for r in self.trained if r["experiment"].startswith(prefix)}
        return _pooled([[quantity(result) for result in self.of(name)] for name in sorted(names)])

    def number(self, name: str, quantity: Quantity, *, images: int = 0, note: str = "") -> Measured | NotMeasured:
        """A number of one published run beside the mean over our seeds.

        The interval is that of one more run: mean ± t s √(1 + 1/n), s being the standard deviation of three seeds or
        more or, for fewer, that of other cells of the grid, as far as the quantity can go. Without any, `images` says
        on how many images an accuracy was measured, and the interval is Wilson's, which leaves the seed out.
        """
        found = self.of(name)
        if not found:
            return NotMeasured(f"{name} has not been run", waits=True)
        values, epochs = [quantity(result) for result in found], len(found[0]["epochs"]["loss"])
        value, n = float(np.mean(values)), len(values)
        grid_prefix = f"{name.rpartition('.')[0]}." if name.count(".") > 1 else name
        known = _pooled([values]) if n >= 3 else self.spread(grid_prefix, quantity)
        if known and known[0] == 0:
            return NotMeasured(f"{value:g} with all {n} seeds, which do not show how much another would change it")
        if known:
            return Measured(value, "run", *_around(value, known, 1 + 1 / n, quantity.limits), n, epochs, note=note)
        if images:
            low, high = wilson(round(value * images), images)
            return Measured(value, "run", low, high, n, epochs, note=_joined("of the images alone", note))
        return Measured(value, "run", seeds=n, epochs=epochs, note=note)

    def after(self, name: str, measure: str, note: str = "") -> Measured | NotMeasured:
        """A published number of the training images after the last epoch, in inference mode, beside our mean.

        The interval is that of one more run, from three seeds on.
        """
        looks = [result for result in self.results if result["experiment"].startswith(f"{name}.last.")]
        if not looks:
            return NotMeasured(f"the training images of {name} have not been measured after it", waits=True)
        values = [result["findings"][measure] for result in looks]
        value, n, known = float(np.mean(values)), len(values), _pooled([values])
        epochs, note = len(self.of(name)[0]["epochs"]["loss"]), _joined("after the epoch, in inference mode", note)
        if known is None or n < 3:
            return Measured(value, "run", seeds=n, epochs=epochs, note=note)
        limits = ACCURACY if measure == "accuracy" else LOSS
        return Measured(value, "run", *_around(value, known, 1 + 1 / n, limits), n, epochs, note=note)

    def difference(
        self, name: str, other: str, quantity: Quantity, scale: float = 1.0, note: str = ""
    ) -> Measured | NotMeasured:
        """`scale` times the difference between a published run and another, beside that of our means over seeds.

        The interval is that of one more such pair of runs.
        """
        pair = [[scale * quantity(result) for result in self.of(each)] for each in (name, other)]
        for each, values in zip((name, other), pair, strict=True):
            if not values:
                return NotMeasured(f"{each} has not been run", waits=True)
        value, epochs = float(np.mean(pair[0]) - np.mean(pair[1])), len(self.of(name)[0]["epochs"]["loss"])
        n, known = min(map(len, pair)), _pooled(pair)
        if known is None:
            return Measured(value, "run", seeds=n, epochs=epochs)
        low, high = _around(value, known, sum(1 + 1 / len(values) for values in pair))
        return Measured(value, "run", low, high, n, epochs, note=_joined(f"{name} minus {other}", note))

    def group(self, names: Sequence[str], prefix: str, quantity: Quantity, note: str = "") -> Measured | NotMeasured:
        """A published mean over the cells of a grid beside ours, one run a cell on both sides.

        The interval is that of another such mean: t s √(2/m), s being the standard deviation over seeds.
        """
        cells = self.cells(prefix)
        missing = [name for name in names if name not in cells]
        if missing:
            return NotMeasured(f"{len(missing)} of {len(names)} runs of the group have not been done", waits=True)
        values = [quantity(cells[name]) for name in names]
        value, m = float(np.mean(values)), len(values)
        epochs, known = len(cells[names[0]]["epochs"]["loss"]), self.spread(prefix, quantity)
        if known is None:
            return Measured(value, "run", seeds=1, epochs=epochs, note=note)
        return Measured(value, "run", *_around(value, known, 2 / m), 1, epochs, note=_joined(f"mean of {m} runs", note))


def _pooled(groups: Sequence[Sequence[float]]) -> tuple[float, int] | None:
    """The standard deviation within the groups and its degrees of freedom; None without a group of two."""
    groups = [group for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return None
    return math.sqrt(sum(float(np.var(group)) * len(group) for group in groups) / freedom), freedom


def _around(
    value: float, spread: tuple[float, int], variances: float, limits: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[float, float]:
    """The 95 % interval of a number whose variance is `variances` times that of a run, within its limits."""
    deviation, freedom = spread
    half = student_t(0.95, freedom) * deviation * math.sqrt(variances)
    return max(value - half, limits[0]), min(value + half, limits[1])


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
