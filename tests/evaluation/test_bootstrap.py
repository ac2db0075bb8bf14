import numpy as np
import pytest
from scipy import stats

from keras_cnn.evaluation import bootstrap, metrics
from keras_cnn.evaluation.calibration import gaps, image_scores, reliability


def case(seed: int, n: int = 150, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return labels, rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]


def by_scipy(images: int, statistic, method: str = "percentile") -> list[float]:
    """The same resamples drawn and judged by SciPy, one at a time."""
    found = stats.bootstrap(
        (np.arange(images),),
        statistic,
        n_resamples=bootstrap.RESAMPLES,
        vectorized=False,
        method=method,
        rng=np.random.default_rng(bootstrap.SEED),
    ).confidence_interval
    return [found.low, found.high]


def test_every_interval_of_the_summary_is_scipys_on_scikit_learns_scores():
    sk = pytest.importorskip("sklearn.metrics")
    labels, logits = case(1)
    found, p = metrics.summary(labels, logits, tuple("abcd")), metrics.softmax(logits)
    predicted, n = logits.argmax(axis=1), len(labels)
    losses, squares = -np.log(p[np.arange(n), labels]), np.sum((p - np.eye(4)[labels]) ** 2, axis=1)
    assert found["loss_interval"] == pytest.approx(by_scipy(n, lambda i: losses[i].mean()), abs=1e-9)
    assert found["brier_interval"] == pytest.approx(by_scipy(n, lambda i: squares[i].mean()), abs=1e-9)
    basic = by_scipy(n, lambda i: reliability(labels[i], p[i]).error, "basic")
    assert found["ece"]["interval"] == pytest.approx(np.maximum(0, basic), abs=1e-9)

    again = metrics._resampled(labels, image_scores(labels, logits), 4)
    generator, names = np.random.default_rng(bootstrap.SEED), ("precision", "recall", "f1")
    for i in range(60):  # the others are as many again of the same
        rows = generator.integers(0, n, n)
        theirs = sk.precision_recall_fscore_support(
            labels[rows], predicted[rows], labels=range(4), average=None, zero_division=0
        )
        for name, scores in zip((*names, "support"), theirs, strict=True):
            assert again[name][i] == pytest.approx(scores, abs=1e-12)
    for name in names:
        means = again[name].mean(axis=1), (again[name] * again["support"]).sum(axis=1) / n
        for mean, values in zip(("macro", "weighted"), means, strict=True):
            assert found[mean][f"{name}_interval"] == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=1e-12)
    assert found["bootstrap"] == {"resamples": 2000, "seed": 0}


@pytest.mark.parametrize("chunk", [1, 77, 1000, 2**22])
def test_resamples_do_not_depend_on_how_many_are_drawn_at_a_time(monkeypatch, chunk):
    drawn = np.random.default_rng(0).integers(0, 9, (40, 9))
    expected = [np.bincount(row, minlength=9) for row in drawn]
    monkeypatch.setattr(bootstrap, "_CHUNK", chunk)
    np.testing.assert_array_equal(np.concatenate(list(bootstrap.resampled(9, 40))), expected)


def test_groups_are_summed_in_any_order_and_may_be_empty():
    counts, groups = np.array([[1.0, 2, 4, 8], [0, 1, 0, 1]]), np.array([3, 0, 3, 1])
    values = np.array([1.0, 0.5, -1, 3])
    sums = counts @ bootstrap.terms((groups, 5), values, (groups, 4, values))
    np.testing.assert_array_equal(sums[:, :5], [[2, 8, 0, 5, 0], [1, 1, 0, 0, 0]])
    np.testing.assert_array_equal(sums[:, 5], [22, 3.5])
    np.testing.assert_array_equal(sums[:, 6:], [[1, 24, 0, -3], [0.5, 3, 0, 0]])


def test_where_nothing_varies_the_interval_has_no_width():
    found = metrics.summary([0, 1] * 20, 9 * np.eye(2)[[0, 1] * 20], ("a", "b"))
    assert found["loss_interval"] == pytest.approx([found["loss"]] * 2)
    assert found["brier_interval"] == pytest.approx([found["brier"]] * 2)
    assert found["ece"]["interval"] == pytest.approx([found["ece"]["value"]] * 2)


def test_mirrored_intervals_reach_the_error_of_a_calibrated_model_where_percentiles_never_do():
    """Labels drawn from the very probabilities: the error is 0, however large chance makes the ECE."""
    rng, held = np.random.default_rng(0), {"mirrored": 0, "percentile": 0}
    for _ in range(60):
        p = rng.dirichlet(np.full(5, 0.6), 400)
        labels = (p.cumsum(axis=1) > rng.random((400, 1))).argmax(axis=1)
        gap, bins = gaps(p.max(axis=1), p.argmax(axis=1) == labels)
        terms = bootstrap.terms((bins, 15, gap))
        again = [np.abs(n @ terms).sum(axis=1) / 400 for n in bootstrap.resampled(400, 400)]
        again, found = np.concatenate(again), reliability(labels, p).error
        held["mirrored"] += bootstrap.reflected(again, found, 0.95)[0] == 0
        held["percentile"] += bootstrap.percentile(again, 0.95)[0] <= 0.001
    assert held["percentile"] == 0
    assert held["mirrored"] >= 20


def test_loss_intervals_hold_the_true_mean_about_19_times_of_20():
    rng, held = np.random.default_rng(1), 0
    for _ in range(200):
        again = np.concatenate([n @ rng.exponential(2, 100) / 100 for n in bootstrap.resampled(100, 400)])
        low, high = bootstrap.percentile(again, 0.95)
        held += low <= 2 <= high
    assert 175 <= held <= 199
