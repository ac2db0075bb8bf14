import numpy as np
import pytest

from keras_cnn.evaluation.feature_probes import INVERSE_PENALTIES, probe_features


def clouds(count: int, seed: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Features (3 · count, 8) of three classes around corners, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1, 2], count)
    return 3 * np.eye(3, 8)[labels] + spread * rng.standard_normal((len(labels), 8)), labels


def test_the_nearest_neighbours_vote_by_cosine_with_inverse_distances():
    features, labels = clouds(20, 0, 1.5)
    others, _ = clouds(30, 1, 1.5)
    unit, units = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (features, others))
    expected = []
    for row in 1 - units @ unit.T:
        votes = np.zeros(3)
        for neighbour in np.argsort(row)[:5]:
            votes[labels[neighbour]] += 1 / row[neighbour]
        expected.append(votes.argmax())
    found = probe_features(features, labels, others, 0)
    np.testing.assert_array_equal(found.nearest, expected)
    np.testing.assert_array_equal(probe_features(7 * features, labels, 2 * others, 0).nearest, expected)


def test_the_linear_probe_minimises_the_penalised_cross_entropy():
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    features, labels = clouds(20, 0, 2.0)
    others, _ = clouds(30, 1, 2.0)
    found = probe_features(features, labels, others, 0)
    mean, scale = features.mean(axis=0), features.std(axis=0)
    inputs = (features - mean) / scale

    def cost(flat):
        weights, bias = flat[:24].reshape(8, 3), flat[24:]
        losses = -log_softmax(inputs @ weights + bias, axis=1)[np.arange(60), labels]
        return found.inverse_penalty * losses.sum() + 0.5 * np.sum(weights**2)

    best = minimize(cost, np.zeros(27)).x
    expected = ((others - mean) / scale @ best[:24].reshape(8, 3) + best[24:]).argmax(axis=1)
    assert (found.linear == expected).mean() > 0.98
    moved = probe_features(5 * features + 3, labels, 5 * others + 3, 0)
    np.testing.assert_array_equal(moved.linear, found.linear)


@pytest.mark.parametrize(("spread", "seed"), [(2.5, 0), (2, 1)])
def test_the_penalty_is_that_of_scikit_learns_cross_validation(spread, seed):
    """Two folds would choose another penalty for the first data, four for the second."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import StratifiedKFold

    features, labels = clouds(20, seed, spread)
    folds = StratifiedKFold(3, shuffle=True, random_state=4)
    penalties = [0.01, 0.1, 1, 10]  # of all six, these come into question
    options = {"l1_ratios": (0,), "use_legacy_attributes": False}
    theirs = LogisticRegressionCV(Cs=penalties, cv=folds, scoring="neg_log_loss", max_iter=1000, **options)
    theirs.fit((features - features.mean(axis=0)) / features.std(axis=0), labels)
    assert probe_features(features, labels, features, 4).inverse_penalty == np.unique(theirs.C_).item()


def test_noise_gets_a_large_penalty_and_clear_classes_a_small_one():
    rng = np.random.default_rng(0)
    noise, (clear, labels) = rng.standard_normal((60, 8)), clouds(20, 0, 0.1)
    assert probe_features(noise, labels, noise, 0).inverse_penalty <= 1e-2
    assert probe_features(clear, labels, clear, 0).inverse_penalty >= 1


def test_few_images_a_constant_feature_and_features_that_are_not_finite():
    features = np.array([[1.0, 0, 5], [0, 1, 5], [1, 0.1, 5]])
    found = probe_features(features, np.array([0, 1, 0]), np.array([[2.0, 0, 5], [0, 2, 5]]), 0)
    assert found.inverse_penalty == INVERSE_PENALTIES[0]  # no folds of a class of one image
    assert found.nearest.tolist() == [0, 1]
    assert np.isfinite(found.linear).all()
    with pytest.raises(ValueError, match="infinite or nan"):
        probe_features(features, np.array([0, 1, 0]), np.array([[np.nan, 0, 0]]), 0)
