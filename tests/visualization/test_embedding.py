"""PCA against the singular value decomposition, t-SNE by what it must keep, and where features are read."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from keras_cnn import models
from keras_cnn.errors import InputError
from keras_cnn.visualization import embedding
from keras_cnn.visualization.embedding import pca, penultimate, tsne


def test_pca_is_the_singular_value_decomposition_with_fixed_signs():
    values = np.random.default_rng(0).normal(size=(40, 6)) @ np.diag([5, 3, 1, 0.5, 0.2, 0.1]) + 2
    found = pca(values)
    centred = values - values.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ directions[:2].T
    for k in range(2):
        expected[:, k] *= np.sign(directions[k, np.abs(directions[k]).argmax()])
    np.testing.assert_allclose(found.points, expected, atol=1e-9)
    shares = 100 * sizes**2 / np.sum(sizes**2)
    assert found.note == f"the axes hold {shares[0]:.1f} % and {shares[1]:.1f} % of the variance"
    np.testing.assert_allclose(pca(values[::-1]).points, found.points[::-1], atol=1e-9)


def test_tsne_keeps_neighbours_and_repeats():
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2], 20)
    values = rng.normal(size=(60, 70)) + 6 * np.eye(70)[groups]  # more than 50 dimensions
    found = tsne(values, perplexity=8)
    distances = np.linalg.norm(found.points[:, None] - found.points[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert np.mean(groups[distances.argmin(axis=1)] == groups) > 0.95
    np.testing.assert_array_equal(tsne(values, perplexity=8).points, found.points)


@pytest.mark.parametrize(("count", "perplexity"), [(5, "1.33333"), (16, "5"), (91, "30"), (120, "30")])
def test_the_perplexity_follows_the_number_of_images(count, perplexity):
    found = tsne(np.random.default_rng(1).normal(size=(count, 3)))
    assert found.points.shape == (count, 2)
    assert found.note.startswith(f"perplexity {perplexity};")


def test_features_are_those_that_the_class_scores_read():
    assert penultimate(models.build("net1", (32, 32, 3), l1_oc=2)) == "relu4"
    inputs = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D(name="gap")(layers.Conv2D(4, 3)(inputs))
    logits = layers.Dense(3, name="scores")(x)
    assert penultimate(keras.Model(inputs, logits)) == "gap"
    assert penultimate(keras.Model(inputs, layers.Softmax()(logits))) == "gap"
    with pytest.raises(InputError, match="a classifier"):
        penultimate(keras.Model(inputs, layers.Conv2D(2, 3)(inputs)))


def test_bad_input_is_told_in_one_line():
    with pytest.raises(InputError, match="perplexity: found 30, expected 1 to 12"):
        tsne(np.zeros((12, 3)), perplexity=30)
    with pytest.raises(InputError, match=r"features of shape \(4, 3\), expected at least 5 images"):
        tsne(np.zeros((4, 3)))
    with pytest.raises(InputError, match=r"features of shape \(5, 1\)"):
        pca(np.zeros((5, 1)))


def test_perplexities_from_1_to_the_number_of_images_are_refused_at_their_ends():
    values = np.random.default_rng(0).normal(size=(6, 2))
    for wrong in (1, 6):
        with pytest.raises(InputError, match=f"perplexity: found {wrong}, expected 1 to 6"):
            tsne(values, perplexity=wrong)
    assert tsne(values, perplexity=1.5).note.startswith("perplexity 1.5; ")
    assert len(pca(values[:2]).points) == 2
    with pytest.raises(InputError, match="at least 2 images and 2 features"):
        pca(values[:1])


def test_tsne_gets_fifty_components_of_more_than_fifty_features(monkeypatch):
    shapes = []

    class Kept:
        def __init__(self, dimensions, **options):
            assert (dimensions, options) == (2, {"perplexity": 5, "init": "pca", "random_state": 0})

        def fit(self, features):
            shapes.append(features.shape)
            return SimpleNamespace(embedding_=features[:, :2])

    monkeypatch.setattr(embedding, "TSNE", Kept)
    for shape in ((51, 51), (50, 60), (60, 50)):
        tsne(np.random.default_rng(0).normal(size=shape), perplexity=5)
    assert shapes == [(51, 50), (50, 60), (60, 50)]
