import math

import numpy as np
import pytest

from keras_cnn.figures.curves import curves, learning_rate_curve

HISTORY = {
    "epoch": [1, 2, 3, 4, 5, 6],
    "loss": [2.0, 1.5, 1.2, 0.9, 0.6, 0.4],
    "accuracy": [0.2, 0.4, 0.5, 0.6, 0.8, 0.9],
    "val_loss": [1.9, 1.6, 1.4, 1.45, 1.6, 1.9],
    "val_accuracy": [0.25, 0.35, 0.45, 0.55, 0.5, 0.5],
    "learning_rate": [0.1] * 6,
}


def line(ax, label):
    (found,) = (one for one in ax.get_lines() if one.get_label().startswith(label))
    return found


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_both_panels_show_the_history_and_the_best_epoch():
    figure = curves(HISTORY, 4, "A run")
    assert figure.get_suptitle() == "A run"
    assert [ax.get_title() for ax in figure.axes] == [""] * 2
    assert [ax.get_title("left") for ax in figure.axes] == ["loss", "accuracy"]
    expected = ["validation 1.450 at epoch 4", "validation 0.550 at epoch 4"]
    assert [ax.get_title("right") for ax in figure.axes] == expected
    for ax, name in zip(figure.axes, ("loss", "accuracy"), strict=True):
        np.testing.assert_array_equal(line(ax, "training").get_xydata(), np.c_[HISTORY["epoch"], HISTORY[name]])
        validation = line(ax, "validation").get_xydata()
        np.testing.assert_array_equal(validation, np.c_[HISTORY["epoch"], HISTORY[f"val_{name}"]])
        assert line(ax, "best epoch: 4").get_xdata() == [4, 4]
        np.testing.assert_array_equal(line(ax, "_best").get_xydata(), [[4, HISTORY[f"val_{name}"][3]]])
    assert legend_texts(figure) == ["training", "validation", "best epoch: 4"]


def test_training_and_validation_differ_without_colour():
    ax = curves(HISTORY, 4, "A run").axes[0]
    assert line(ax, "training").get_linestyle() == "--"
    assert line(ax, "validation").get_linestyle() == "-"


def test_the_epochs_after_the_onset_are_shaded_and_named():
    figure = curves(HISTORY, 4, "A run", overfitting_onset=3)
    assert legend_texts(figure)[-1] == "overfitting after epoch 3"
    for ax in figure.axes:
        (span,) = ax.patches
        assert (span.get_x(), span.get_x() + span.get_width()) == pytest.approx((3, ax.get_xlim()[1]))


def test_a_learning_rate_that_varies_has_its_own_panel():
    rates = [0.1, 0.1, 0.05, 0.05, 0.01, 0.01]
    figure = curves(HISTORY | {"learning_rate": rates}, 4, "A run")
    assert len(figure.axes) == 3
    ax = figure.axes[2]
    assert ax.get_title("left") == "learning rate"
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), rates)
    assert ax.get_window_extent().height < figure.axes[0].get_window_extent().height / 2
    shown = [text.get_text() for text in ax.get_yticklabels()]
    assert [float(text) for text in shown] == pytest.approx(list(ax.get_yticks()))


def test_history_without_validation_or_epochs():
    figure = curves({"loss": [3.0, 2.0], "accuracy": [0.1, 0.2]}, 2, "One batch")
    assert legend_texts(figure) == ["training", "best epoch: 2"]
    assert line(figure.axes[0], "training").get_xdata().tolist() == [1, 2]


def test_values_that_are_not_finite_leave_a_gap_and_the_rest_in_view():
    figure = curves(HISTORY | {"val_loss": [1.9, math.inf, math.nan, 1.4, 1.5, 1.6]}, 4, "A run")
    assert np.isnan(line(figure.axes[0], "validation").get_ydata()).tolist() == [False, True, True, False, False, False]
    assert figure.axes[0].get_ylim()[1] < 2.2


@pytest.mark.parametrize("epochs", [1, 2, 7, 30, 300])
def test_epoch_ticks_are_whole_and_nothing_is_cut(epochs, check_nothing_cut):
    falling = np.linspace(2, 1, epochs)
    history = {"loss": falling, "accuracy": 1 / falling, "val_loss": falling, "val_accuracy": 1 / falling}
    history["learning_rate"] = 1e-5 * falling
    title = f"A run with a rather long name for {epochs} epochs " * 3
    figure = curves(history, 1, title, 1)
    for ax in figure.axes:
        low, high = ax.get_xlim()
        inside = [tick for tick in ax.get_xticks() if low <= tick <= high]
        assert inside
        assert all(tick == int(tick) for tick in inside)
    assert "…" in figure.get_suptitle()
    check_nothing_cut(figure)


def test_a_best_epoch_outside_the_history_is_refused():
    with pytest.raises(ValueError, match="best epoch 7 is not among the 6 epochs"):
        curves(HISTORY, 7, "A run")


def test_learning_rate_curve_shows_the_sweep_and_marks_the_suggestion(check_nothing_cut):
    rates = np.geomspace(1e-6, 1, 61)
    losses = 2.3 - 1.3 / (1 + (1e-3 / rates) ** 2)
    losses[-3:] = [50, 4000, math.nan]
    figure = learning_rate_curve(rates, losses, 0.00316)
    (ax,) = figure.axes
    assert ax.get_xscale() == "log"
    assert figure.get_suptitle() == "Learning-rate finder: 0.0032 suggested"
    sweep, suggested = ax.get_lines()
    np.testing.assert_array_equal(sweep.get_xdata(), rates)
    np.testing.assert_array_equal(sweep.get_ydata(), losses)
    assert suggested.get_xdata() == [0.00316] * 2
    lowest = np.nanmin(losses)
    assert lowest > ax.get_ylim()[0] > lowest - 0.5
    assert losses[0] < ax.get_ylim()[1] < 5  # the divergence does not set the scale
    labels = [text.get_text() for text in ax.get_xticklabels()]
    assert {"1e-06", "0.0001", "0.01", "1"} <= set(labels)
    check_nothing_cut(figure)


def test_learning_rate_curve_that_only_rises_has_no_suggestion_and_shows_everything():
    figure = learning_rate_curve([1e-3, 1e-2, 1e-1], [1.0, 2.0, 9.0], None)
    (ax,) = figure.axes
    assert figure.get_suptitle() == "Learning-rate finder: no rate to suggest"
    assert len(ax.get_lines()) == 1
    assert ax.get_ylim()[1] > 9
    with pytest.raises(ValueError, match="none of the 2 losses"):
        learning_rate_curve([1e-3, 1e-2], [math.nan, math.inf], None)
