import math

import numpy as np
import pytest

from keras_cnn.charts import png
from keras_cnn.charts.training import detector_history, learning_rates, run_history

COLUMNS = {
    "epoch": [1, 2, 3, 4, 5, 6],
    "loss": [2.0, 1.5, 1.2, 0.9, 0.6, 0.4],
    "accuracy": [0.2, 0.4, 0.5, 0.6, 0.8, 0.9],
    "val_loss": [1.9, 1.6, 1.4, 1.45, 1.6, 1.9],
    "val_accuracy": [0.25, 0.35, 0.45, 0.55, 0.5, 0.5],
    "learning_rate": [0.1] * 6,
}


def history(**columns):
    every = COLUMNS | columns
    return [dict(zip(every, row, strict=True)) for row in zip(*every.values(), strict=True)]


def drawn(rows, best_epoch, title="A run", onset=None):
    above, below = run_history(rows, best_epoch, onset)
    return png.figure(above, title, below=below)


def line(ax, label):
    (found,) = (one for one in ax.get_lines() if one.get_label().startswith(label))
    return found


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_both_panels_show_the_history_and_the_best_epoch():
    figure = drawn(history(), 4)
    assert [ax.get_title("left") for ax in figure.axes] == ["loss, nats", "accuracy, %"]
    expected = ["validation 1.4500 at epoch 4", "validation 55.00 % at epoch 4"]
    assert [ax.get_title("right") for ax in figure.axes] == expected
    for ax, name, scale in zip(figure.axes, ("loss", "accuracy"), (1, 100), strict=True):
        for label, column in (("training", name), ("validation", f"val_{name}")):
            values = scale * np.array(COLUMNS[column])
            np.testing.assert_allclose(line(ax, label).get_xydata(), np.c_[COLUMNS["epoch"], values])
        assert line(ax, "best epoch: 4").get_xdata() == [4, 4]
        (mark,) = (one for one in ax.get_lines() if len(one.get_xdata()) == 1)
        np.testing.assert_allclose(mark.get_xydata(), [[4, scale * COLUMNS[f"val_{name}"][3]]])
    assert legend_texts(figure) == ["training", "validation", "best epoch: 4"]
    assert line(figure.axes[0], "training").get_linestyle() == "--"  # also without colour
    assert line(figure.axes[0], "validation").get_linestyle() == "-"


def test_the_epochs_after_the_onset_are_shaded_and_named():
    figure = drawn(history(), 4, onset=3)
    assert legend_texts(figure)[-1] == "overfitting after epoch 3"
    for ax in figure.axes:
        (span,) = ax.patches
        assert (span.get_x(), span.get_x() + span.get_width()) == (3, 6)


def test_a_learning_rate_that_varies_has_its_own_panel():
    rates = [0.1, 0.1, 0.05, 0.05, 0.01, 0.01]
    figure = drawn(history(learning_rate=rates), 4)
    assert len(figure.axes) == 3
    ax = figure.axes[2]
    assert ax.get_title("left") == "learning rate"
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), rates)
    assert ax.get_window_extent().height < figure.axes[0].get_window_extent().height / 2
    assert [text.get_text() for text in ax.get_yticklabels()] == ["0", "0.1"]


def test_values_that_are_not_finite_leave_a_gap_and_the_rest_in_view():
    figure = drawn(history(val_loss=[1.9, math.inf, math.nan, 1.4, 1.5, 1.6]), 4)
    assert np.isnan(line(figure.axes[0], "validation").get_ydata()).tolist() == [False, True, True, False, False, False]
    assert figure.axes[0].get_ylim()[1] < 2.2


@pytest.mark.parametrize("epochs", [1, 2, 7, 30, 300])
def test_epoch_ticks_are_whole_and_nothing_is_cut(epochs, check_nothing_cut):
    falling = np.linspace(2, 1, epochs)
    columns = {"loss": falling, "accuracy": 1 / falling, "val_loss": falling, "val_accuracy": 1 / falling}
    rows = history(epoch=range(1, epochs + 1), learning_rate=1e-5 * falling, **columns)
    figure = drawn(rows, 1, f"A run with a rather long name for {epochs} epochs " * 3, 1)
    for ax in figure.axes:
        low, high = ax.get_xlim()
        inside = [tick for tick in ax.get_xticks() if low <= tick <= high]
        assert inside
        assert all(tick == int(tick) for tick in inside)
    assert "…" in figure.get_suptitle()
    check_nothing_cut(figure)


def test_a_best_epoch_outside_the_history_is_refused():
    with pytest.raises(ValueError, match="best epoch 7 is not among the 6 epochs"):
        run_history(history(), 7, None)


def test_the_loss_at_each_learning_rate_and_the_suggestion(check_nothing_cut):
    rates = np.geomspace(1e-6, 1, 61)
    losses = 2.3 - 1.3 / (1 + (1e-3 / rates) ** 2)
    losses[-3:] = [50, 4000, math.nan]
    figure = png.figure([learning_rates(rates.tolist(), losses.tolist(), 0.00316)], "Learning-rate finder")
    (ax,) = figure.axes
    assert ax.get_xscale() == "log"
    assert legend_texts(figure) == ["suggested: 0.0032"]
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


def test_a_loss_that_only_rises_has_no_suggestion_and_shows_everything():
    figure = png.figure([learning_rates([1e-3, 1e-2, 1e-1], [1.0, 2.0, 9.0], None)], "Learning-rate finder")
    (ax,) = figure.axes
    assert ax.get_title("right") == "no rate to suggest"
    assert len(ax.get_lines()) == 1
    assert ax.get_ylim()[1] > 9
    with pytest.raises(ValueError, match="none of the 2 losses"):
        learning_rates([1e-3, 1e-2], [math.nan, math.inf], None)


def test_a_detector_has_its_losses_their_terms_and_its_map(check_nothing_cut):
    names = ("loss", "val_loss", "box_loss", "object_loss", "class_loss", "val_map", "val_map50")
    rows = [{"epoch": epoch} | {name: i / epoch for i, name in enumerate(names)} for epoch in (1, 2, 3)]
    figure = png.figure(list(detector_history(rows, 2).values()), "boxes")
    losses, terms, scores = figure.axes
    assert line(losses, "validation").get_ydata().tolist() == [1, 1 / 2, 1 / 3]
    assert [one.get_label() for one in terms.get_lines()[:3]] == ["box", "objectness", "class"]
    assert line(scores, "@0.5").get_ydata().tolist() == [6, 3, 2]
    assert scores.get_title("right") == "best: 2.500"
    check_nothing_cut(figure)
    rows[0] |= {"val_map": math.nan, "val_map50": math.inf}
    assert detector_history(rows, 2)["validation mAP"].y.limits == pytest.approx((0, 1.05 * 3))
