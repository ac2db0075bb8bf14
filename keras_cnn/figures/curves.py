"""Curves of a training run: its history by epoch, and the loss of the learning-rate finder."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from keras_cnn.figures.style import BLUE, GREEN, GREY, INK, ORANGE, SHADE, WIDTH, new_figure, styled

_MARKED_EPOCHS = 12  # largest number of epochs that are marked with dots


@styled
def curves(
    history: Mapping[str, Sequence[float]], best_epoch: int, title: str, overfitting_onset: int | None = None
) -> Figure:
    """Loss and accuracy of training and validation by epoch, and below them the learning rate if it varies.

    `history` has the columns of history.csv: `loss`, `accuracy` and optionally `val_loss`, `val_accuracy`,
    `learning_rate` and `epoch` (otherwise epochs count from 1). `best_epoch` and `overfitting_onset` are epochs; the
    epochs after the onset are shaded. Values that are not finite leave a gap.

    Raises ValueError for an empty history or a best epoch that is not in it.
    """
    epochs = np.asarray(history.get("epoch", np.arange(1, len(history["loss"]) + 1)))
    if best_epoch not in epochs:
        raise ValueError(f"best epoch {best_epoch} is not among the {len(epochs)} epochs of the history")
    rate = finite(history["learning_rate"]) if "learning_rate" in history else np.zeros(1)
    varies = len(np.unique(rate)) > 1
    figure = new_figure(WIDTH, 4.6 if varies else 3.5, title)
    grid = figure.add_gridspec(2 if varies else 1, 2, height_ratios=[3, 1] if varies else [1])
    for column, name in enumerate(("loss", "accuracy")):
        ax = figure.add_subplot(grid[0, column])
        _metric_panel(ax, history, name, epochs, best_epoch)
        _mark_epochs(ax, epochs, best_epoch, overfitting_onset)
    if varies:
        ax = figure.add_subplot(grid[1, :])
        ax.plot(epochs, rate, color=GREEN, drawstyle="steps-mid")
        ax.yaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))
        ax.yaxis.set_major_formatter(FuncFormatter(_short))
        epoch_axis(ax, epochs, "learning rate")
        ax.set_ylim(0, np.nanmax(rate) * 1.08)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=4)
    return figure


@styled
def learning_rate_curve(rates: Sequence[float], losses: Sequence[float], suggestion: float | None) -> Figure:
    """The training loss at each learning rate of the finder, on a logarithmic axis, with the suggested rate marked.

    The loss axis extends twice as far above the lowest loss as the first loss, so that the divergence at the end does
    not compress the rest. Raises ValueError if no loss is finite.
    """
    rates, losses = np.asarray(rates, np.float64), finite(losses)
    if np.isnan(losses).all():
        raise ValueError(f"none of the {len(losses)} losses of the sweep is finite")
    title = "Learning-rate finder: " + (f"{suggestion:.2g} suggested" if suggestion else "no rate to suggest")
    figure = new_figure(WIDTH, 3.5, title)
    ax = figure.add_subplot()
    ax.plot(rates, losses, color=BLUE)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(numticks=9))
    ax.xaxis.set_major_formatter(FuncFormatter(_short))
    ax.set_xlabel("learning rate (logarithmic)")
    ax.set_title("training loss")
    ax.grid(axis="y")
    lowest, first, highest = np.nanmin(losses), losses[np.isfinite(losses)][0], np.nanmax(losses)
    top = min(highest, lowest + 2 * (first - lowest)) if first > lowest else highest
    pad = 0.05 * (top - lowest) or 0.05
    ax.set_ylim(lowest - pad, top + pad)
    if suggestion:
        ax.axvline(suggestion, color=ORANGE, linestyle=(0, (4, 2)), linewidth=1.2)
    return figure


def _metric_panel(ax: Axes, history: Mapping, name: str, epochs: np.ndarray, best_epoch: int) -> None:
    marker = "o" if len(epochs) <= _MARKED_EPOCHS else None
    look = {"marker": marker, "markersize": 3}
    ax.plot(epochs, finite(history[name]), color=GREY, linestyle=(0, (3, 1.2)), label="training", **look)
    if (key := f"val_{name}") in history:
        values = finite(history[key])
        ax.plot(epochs, values, color=BLUE, label="validation", **look)
        best = values[epochs == best_epoch]
        ax.plot([best_epoch], best, color=BLUE, marker="o", markersize=5, markeredgecolor="white", label="_best")
        ax.set_title(f"validation {best[0]:.3f} at epoch {best_epoch}", loc="right", color=GREY)
    ax.grid(axis="y")
    epoch_axis(ax, epochs, name)


def epoch_axis(ax: Axes, epochs: np.ndarray, name: str) -> None:
    """Sets ticks at whole epochs and `name` as the title."""
    pad = max(0.4, 0.015 * (epochs[-1] - epochs[0]))
    ax.set_xlim(epochs[0] - pad, epochs[-1] + pad)
    ax.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    ax.set_xlabel("epoch")
    ax.set_title(name, color=INK)


def _mark_epochs(ax: Axes, epochs: np.ndarray, best_epoch: int, onset: int | None) -> None:
    ax.axvline(best_epoch, color=BLUE, linewidth=1, linestyle=":", label=f"best epoch: {best_epoch}")
    if onset is not None:
        span = (onset, ax.get_xlim()[1])
        ax.axvspan(*span, facecolor=SHADE, edgecolor="none", zorder=0, label=f"overfitting after epoch {onset}")


def finite(values: Sequence[float]) -> np.ndarray:
    """`values` with NaN, which leaves a gap, in place of those that are not finite."""
    values = np.asarray(values, np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _short(value: float, _position: int) -> str:
    return f"{value:.3g}"
