"""Figures of a detector's training: history, precision over recall, images with true and with detected boxes."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from keras_cnn.figures.curves import epoch_axis, finite
from keras_cnn.figures.panels import Panel, PanelRow, sheet
from keras_cnn.figures.style import BLUE, GREEN, GREY, INK, ORANGE, WIDTH, new_figure, styled

_COLOURS = (BLUE, ORANGE, GREEN, "#8455f2", "#995336", "#56b4e9")
_DASHES = ("-", (0, (4, 1.5)), (0, (1.5, 1.5)))
_NAMED = 12  # classes that the legend names


@styled
def curves(history: Mapping[str, Sequence[float]], best_epoch: int, title: str) -> Figure:
    """Training and validation loss, the parts of the training loss, and the validation mAP over the epochs.

    `history` has the columns of the history.csv of a detection run. Raises ValueError for a best epoch that is not in
    it.
    """
    epochs = np.asarray(history["epoch"])
    if best_epoch not in epochs:
        raise ValueError(f"best epoch {best_epoch} is not among the {len(epochs)} epochs of the history")
    figure = new_figure(WIDTH, 3.6, title)
    axes = figure.subplots(1, 3)
    dashed = {"color": GREY, "linestyle": (0, (3, 1.2))}
    axes[0].plot(epochs, finite(history["loss"]), **dashed, label="training")
    axes[0].plot(epochs, finite(history["val_loss"]), color=BLUE, label="validation")
    for colour, name in zip((BLUE, ORANGE, GREEN), ("box", "object", "class"), strict=True):
        axes[1].plot(epochs, finite(history[f"{name}_loss"]), color=colour, label=name)
    for colour, name, label in ((BLUE, "val_map", "@[.5:.95]"), (ORANGE, "val_map50", "@0.5")):
        values = finite(history[name])
        axes[2].plot(epochs, values, color=colour, label=f"{label}: {values[epochs == best_epoch][0]:.3f}")
    axes[2].set_ylim(0, 1)
    for ax, name in zip(axes, ("loss", "training loss, parts", "validation mAP"), strict=True):
        ax.axvline(best_epoch, color=BLUE, linewidth=1, linestyle=":")
        ax.grid(axis="y")
        epoch_axis(ax, epochs, name)
        place = "lower right" if ax is axes[2] else "upper right"
        ax.legend(loc=place, frameon=True, framealpha=0.9, edgecolor="none")
    for ax in axes[:2]:
        ax.set_ylim(bottom=0)
    axes[2].set_title(f"best epoch: {best_epoch}", loc="right", color=GREY)
    return figure


@styled
def precision_recall(curves: Mapping[str, np.ndarray], averages: Mapping[str, float], title: str) -> Figure:
    """One line for each class: (101,) precision at recalls 0, 0.01, ... 1, with its average in the legend.

    Raises ValueError if there is no class.
    """
    if not curves:
        raise ValueError("no class to draw")
    figure = new_figure(WIDTH, 4.2, title)
    ax = figure.add_subplot()
    recalls = np.linspace(0, 1, 101)
    for number, (name, values) in enumerate(curves.items()):
        look = {
            "color": _COLOURS[number % len(_COLOURS)],
            "linestyle": _DASHES[number // len(_COLOURS) % len(_DASHES)],
        }
        label = f"{name}: {averages[name]:.3f}" if number < _NAMED else None
        ax.plot(recalls, values, label=label, **look)
    ax.set(xlim=(0, 1.01), ylim=(0, 1.02))
    ax.set_xlabel("recall")
    ax.set_title("precision", color=INK)
    ax.grid()
    more = len(curves) - _NAMED
    ax.legend(
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        title="AP@0.5" + (f" ({more} more)" if more > 0 else ""),
        title_fontsize="small",
    )
    return figure


def pairs(pictures: Sequence[tuple[np.ndarray, np.ndarray, str]], title: str) -> Figure:
    """Two pictures in each row: (with true boxes, with detected boxes, name), the images (H, W, 3) uint8."""
    rows = []
    for start in range(0, len(pictures), 2):
        panels: list[Panel | None] = []
        for true, detected, name in pictures[start : start + 2]:
            panels += [Panel(true, f"{name}: true"), Panel(detected, "found")]
        rows.append(PanelRow(panels + [None] * (4 - len(panels))))
    return sheet(rows, title, columns=4)


def augmentation(rows: Sequence[tuple[Sequence[np.ndarray], str]], title: str) -> Figure:
    """A row for each image: the original with its name, then the view that the network gets in each epoch."""
    return sheet(
        [
            PanelRow([Panel(seen[0], name), *(Panel(view, f"epoch {i}") for i, view in enumerate(seen[1:], 1))])
            for seen, name in rows
        ],
        title,
    )
