import numpy as np
import pytest

from keras_cnn.figures.convergence import COLOURS, DASHES, Line, convergence


def line(label="a", seeds=2, epochs=3, colour=0, dash=0, pace=1.0):
    accuracy = np.linspace(0.2, 0.8, epochs) + 0.05 * np.arange(seeds)[:, None]
    seconds = pace * (np.arange(1.0, epochs + 1) + np.arange(seeds)[:, None])
    return Line(label, accuracy, seconds, colour, dash)


def test_the_mean_of_the_seeds_is_drawn_by_epoch_and_by_time_and_their_range_behind_it():
    figure = convergence([line()], "Two seeds")
    left, right = figure.axes
    mean = [0.225, 0.525, 0.825]
    np.testing.assert_allclose(left.get_lines()[0].get_xydata(), np.c_[[1, 2, 3], mean])
    np.testing.assert_allclose(right.get_lines()[0].get_xydata(), np.c_[[1.5, 2.5, 3.5], mean])
    for ax in (left, right):
        (band,) = ax.collections
        ends = band.get_paths()[0].vertices[:, 1]
        assert ends.min() == pytest.approx(0.2)
        assert ends.max() == pytest.approx(0.85)
        assert ax.yaxis.get_gridlines()[0].get_visible()
    assert right.get_xlabel() == "seconds of training"


def test_one_seed_has_no_band():
    assert not convergence([line(seeds=1)], "One seed").axes[0].collections


@pytest.mark.parametrize(
    ("paces", "label"),
    [
        ((1, 3.9), "seconds of training"),
        ((1, 4), "seconds of training (logarithmic)"),
        ((100, 200), "minutes of training"),
    ],
)
def test_time_has_the_axis_that_fits_it(paces, label):
    figure = convergence([line("a", pace=paces[0]), line("b", pace=paces[1], colour=1)], "Two recipes")
    right = figure.axes[1]
    assert right.get_xlabel() == label
    drawn = right.get_lines()[1].get_xdata()[-1]
    assert drawn == pytest.approx(3.5 * paces[1] / (60 if "minutes" in label else 1))


def test_related_recipes_share_a_colour_or_a_dash():
    lines = [line(f"{c} {d}", colour=c, dash=d) for c in range(2) for d in range(2)]
    drawn = convergence(lines, "Four recipes").axes[0].get_lines()
    assert [one.get_color() for one in drawn] == [COLOURS[0], COLOURS[0], COLOURS[1], COLOURS[1]]
    assert drawn[0].get_linestyle() == drawn[2].get_linestyle() == "-"
    assert drawn[1].get_linestyle() == drawn[3].get_linestyle() == "--"
    assert len(DASHES) == 3


def test_nothing_is_cut(check_nothing_cut):
    names = [f"inceptionresnetv2 {weights} {part}" for weights in ("imagenet", "none") for part in ("all", "last3")]
    check_nothing_cut(convergence([line(n, epochs=20, colour=i) for i, n in enumerate(names)], "long " * 60))
    check_nothing_cut(convergence([line("x" * 300, epochs=1)], "one epoch"))
    check_nothing_cut(convergence([line(str(i), colour=i) for i in range(24)], "many"))


def test_wrong_arrays_are_refused():
    with pytest.raises(ValueError, match="no lines"):
        convergence([], "none")
    with pytest.raises(ValueError, match=r"a: accuracies \(2, 3\) and seconds \(2, 2\)"):
        convergence([Line("a", np.zeros((2, 3)), np.zeros((2, 2)), 0)], "uneven")
    with pytest.raises(ValueError, match=r"\(0, 3\)"):
        convergence([Line("a", np.zeros((0, 3)), np.zeros((0, 3)), 0)], "empty")
