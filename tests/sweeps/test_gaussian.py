"""Bayesian proposals: expected improvement by integration, and that they find what they are to find."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from keras_cnn.sweeps import gaussian
from keras_cnn.sweeps.gaussian import Dimension, expected_improvement, propose


@pytest.mark.parametrize(("mean", "deviation", "best"), [(0.0, 1.0, 0.0), (0.3, 0.5, 1.0), (2.0, 0.1, -1.0)])
def test_expected_improvement_is_the_mean_gain(mean, deviation, best):
    found, _ = quad(lambda y: (y - best) * norm.pdf(y, mean, deviation), best, mean + 12 * deviation, points=[mean])
    assert expected_improvement(np.array([mean]), np.array([deviation]), best) == pytest.approx([found], rel=1e-6)


def test_what_is_known_for_certain_improves_by_its_gain():
    found = expected_improvement(np.array([1.0, 3.0]), np.zeros(2), 2.0)
    np.testing.assert_allclose(found, [0.0, 1.0], atol=1e-9)


def test_unordered_things_are_equally_far_apart_and_ordered_ones_in_line():
    column = np.arange(4.0)
    unordered = Dimension(4, ordered=False).features(column)
    distances = np.linalg.norm(unordered[:, None] - unordered, axis=2)
    np.testing.assert_allclose(distances, 1 - np.eye(4))
    np.testing.assert_allclose(Dimension(4).features(column)[:, 0], [0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(Dimension().features(np.array([0.0, 0.7]))[:, 0], [0, 0.7])


def search(space, value, first: int, steps: int, seed: int = 0) -> np.ndarray:
    """The points that proposals try, after so many random ones."""
    generator = np.random.default_rng(seed)
    points = np.stack([d.at(generator.random(first)) for d in space], axis=1)
    for _ in range(steps):
        values = np.array([value(p) for p in points])
        points = np.concatenate([points, propose(space, points, values, generator)[None]])
    return points


def test_the_optimum_of_a_mixed_space_is_found():
    def value(p):
        return -((p[0] - 0.72) ** 2) - 0.3 * (p[1] != 2) - 0.05 * abs(p[2] - 6)

    points = search([Dimension(), Dimension(3, ordered=False), Dimension(9)], value, first=8, steps=22)
    best = max(points, key=value)
    assert best[1:].tolist() == [2, 6]
    assert best[0] == pytest.approx(0.72, abs=0.03)


def test_nothing_is_tried_twice_as_long_as_anything_is_left():
    points = search([Dimension(3), Dimension(4, ordered=False)], lambda p: p.sum(), first=1, steps=11)
    assert len({tuple(p) for p in points}) == 12
    propose([Dimension(3), Dimension(4)], points, points.sum(axis=1), np.random.default_rng(0))  # repeats, then


def test_a_proposal_depends_on_its_generator_and_the_past_alone():
    space, generator = [Dimension(), Dimension()], np.random.default_rng
    tried = generator(1).random((12, 2))
    first, again = (propose(space, tried, tried.sum(axis=1), generator(5)) for _ in range(2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != propose(space, tried, tried.sum(axis=1), generator(6)).tolist()


def test_candidates_are_added_near_the_three_best(monkeypatch):
    near, candidates = [], gaussian._candidates

    def noted(space, leaders, generator):
        near.append(leaders)
        return candidates(space, leaders, generator)

    monkeypatch.setattr(gaussian, "_candidates", noted)
    tried = np.random.default_rng(1).random((12, 2))
    propose([Dimension()] * 2, tried, tried[:, 0], np.random.default_rng(5))
    np.testing.assert_array_equal(near[0], tried[np.argsort(tried[:, 0])[:-4:-1]])


def test_a_nearby_candidate_keeps_half_of_the_leaders_listed_values_and_moves_its_numbers_by_a_tenth():
    space, leaders = [Dimension(), Dimension(5, ordered=False)], np.array([[0.5, 3.0], [0.4, 1.0]])
    found = gaussian._candidates(space, leaders, np.random.default_rng(0))
    anywhere, *near = found[:1000], found[1000:1200], found[1200:]
    assert [len(some) for some in near] == [200, 200]
    np.testing.assert_allclose(np.quantile(anywhere[:, 0], (0.1, 0.5, 0.9)), (0.1, 0.5, 0.9), atol=0.05)
    np.testing.assert_allclose(np.bincount(anywhere[:, 1].astype(int)) / 1000, 0.2, atol=0.05)
    for leader, some in zip(leaders, near, strict=True):
        assert some[:, 0].mean() == pytest.approx(leader[0], abs=0.02)
        assert some[:, 0].std() == pytest.approx(0.1, abs=0.02)
        assert (some[:, 1] == leader[1]).mean() == pytest.approx(0.5 + 0.5 / 5, abs=0.1)
    edge = gaussian._candidates(space[:1], np.array([[0.0], [np.nextafter(1, 0)]]), np.random.default_rng(0))[1000:]
    assert edge.min() == 0
    assert edge.max() == np.nextafter(1, 0)


def test_the_process_begins_with_a_twice_differentiable_kernel_and_a_length_for_each_feature():
    features = np.random.default_rng(0).random((12, 2))
    process = gaussian._fitted(features, np.sin(6 * features[:, 0]), 5)
    begun = {name: value for name, value in process.kernel.get_params().items() if "__" in name}
    assert begun["k1__k1__constant_value"] == 1
    assert begun["k1__k2__length_scale"].tolist() == [0.5, 0.5]
    assert (begun["k1__k2__nu"], begun["k2__noise_level"]) == (2.5, 0.01)
    bounds = {name: value for name, value in begun.items() if name.endswith("_bounds")}
    assert list(bounds.values()) == [(0.05, 20.0), (0.1, 10.0), (1e-4, 1.0)]
    assert (process.n_restarts_optimizer, process.random_state) == (1, 5)
    seen, without_effect = process.kernel_.k1.k2.length_scale
    assert seen < 1 < 9 < without_effect


def test_trials_that_run_and_equal_values_are_no_obstacle():
    tried = np.random.default_rng(1).random((5, 1))
    for values in ([0.5] * 5, [0.5, np.nan, 0.7, np.nan, 0.1]):
        (found,) = propose([Dimension()], tried, np.array(values), np.random.default_rng(0))
        assert 0 <= found < 1


def test_of_very_many_trials_the_latest_are_heeded(monkeypatch):
    monkeypatch.setattr(gaussian, "MAX_TRIALS", 6)
    tried = np.random.default_rng(0).random((20, 2))
    values = tried.sum(axis=1)
    among_all, among_six = (
        propose([Dimension()] * 2, tried[some], values[some], np.random.default_rng(0))
        for some in (slice(None), slice(14, None))
    )
    assert among_all.tolist() == among_six.tolist()
