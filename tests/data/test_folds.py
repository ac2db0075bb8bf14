"""Folds of a cross-validation: each image once, no group and no copy divided, the classes in the same shares."""

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from keras_cnn.data import fingerprints as fp
from keras_cnn.data import load, splits
from keras_cnn.data.dataset import Split
from keras_cnn.data.folds import fold_numbers, hold_out, parse_fold
from keras_cnn.data.splits import SourcePart
from keras_cnn.errors import InputError


def part(labels, groups=None, copies=()) -> SourcePart:
    """A part of images with these labels; `copies` are pairs of images with the same pixels."""
    labels = np.asarray(labels, np.int32)
    hashes = np.arange(len(labels) * 16, dtype=np.uint32).view(np.uint8).reshape(len(labels), -1)[:, :16].copy()
    for first, second in copies:
        hashes[second] = hashes[first]
    pixels, thumbnails = np.zeros((len(labels), 1, 1, 1), np.uint8), np.zeros((len(labels), 72), np.uint8)
    ids = [f"{i:04d}" for i in range(len(labels))]
    numbers = None if groups is None else np.asarray(groups, np.int64)
    return SourcePart(Split(ids, labels, pixels=pixels), fp.Fingerprints(hashes, thumbnails), numbers)


def folds_of(pool: SourcePart, count: int, seed: int = 1) -> list[set[str]]:
    cuts = [hold_out(pool, "abc", f"{n}/{count}", seed) for n in range(1, count + 1)]
    for rest, held in cuts:
        assert sorted([*rest.split.ids, *held.split.ids]) == sorted(pool.split.ids)
    return [set(held.split.ids) for _, held in cuts]


LABELS = np.repeat([0, 1, 2], [60, 30, 10])


def test_every_image_is_held_out_once_in_the_shares_of_its_class():
    pool = part(LABELS)
    folds = folds_of(pool, 5)
    assert sorted(image for fold in folds for image in fold) == sorted(pool.split.ids)
    for fold in folds:
        assert np.bincount(LABELS[[int(image) for image in fold]]).tolist() == [12, 6, 2]


def test_the_folds_are_those_of_scikit_learn_in_the_order_of_the_ranks():
    pool = part(LABELS)
    order = splits.in_rank_order(pool.split.ids, 7)
    expected = [{f"{i:04d}" for i in order[held]} for _, held in StratifiedKFold(4).split(order, LABELS[order])]
    assert folds_of(pool, 4, seed=7) == expected
    groups = np.arange(100) // 4 * 7 % 25  # four images each, some with two classes
    sets = splits.together(part(LABELS, groups), 7)
    order = np.concatenate(sets)
    members = np.repeat(np.arange(len(sets)), [len(each) for each in sets])
    cut = StratifiedGroupKFold(4).split(order, LABELS[order], members)
    assert folds_of(part(LABELS, groups), 4, seed=7) == [{f"{i:04d}" for i in order[held]} for _, held in cut]


def test_seed_matters_and_listing_order_does_not():
    pool = part(LABELS)
    shuffled = pool.take(np.random.default_rng(0).permutation(100))
    assert folds_of(pool, 5) == folds_of(shuffled, 5)
    assert folds_of(pool, 5) != folds_of(pool, 5, seed=2)


@pytest.mark.parametrize("seed", range(4))
def test_no_group_and_no_copy_is_in_two_folds(seed):
    rng = np.random.default_rng(seed)
    labels, groups = rng.integers(0, 3, 120), rng.integers(-1, 25, 120)
    copies = [tuple(rng.choice(120, 2, replace=False)) for _ in range(10)]
    pool = part(labels, groups, copies)
    home = {image: number for number, fold in enumerate(folds_of(pool, 4, seed)) for image in fold}
    numbers = np.array([home[image] for image in pool.split.ids])
    for group in range(25):
        assert len(set(numbers[groups == group])) <= 1
    hashes = pool.fingerprints.pixel_hashes
    for first, second in copies:
        assert numbers[first] == numbers[second] or np.any(hashes[first] != hashes[second])
    assert np.bincount(numbers).min() >= 15


def test_copies_with_two_labels_stay_together():
    numbers = fold_numbers(np.array([0, 1, 0, 0, 0, 1, 1, 1]), [np.array([0, 1]), *np.arange(2, 8)[:, None]], 2)
    assert numbers[0] == numbers[1]
    assert np.bincount(numbers).min() >= 3


@pytest.mark.parametrize("text", ["0/5", "6/5", "1/1", "5", "a/b", "1/5/2", "-1/5", ""])
def test_a_fold_that_is_none_is_one_line(text):
    with pytest.raises(InputError, match=r"data\.fold: found '.*', expected a fold such as 2/5, the second of five"):
        parse_fold(text)


def test_too_few_images_for_so_many_folds():
    with pytest.raises(InputError, match=r"class 'c' has 10 images, too few for 11 folds; expected one for each"):
        hold_out(part(LABELS), "abc", "1/11", 1)
    with pytest.raises(InputError, match=r"6 folds of 5 sets of images that stay together; expected fewer folds"):
        hold_out(part(LABELS, np.arange(100) // 20), "abc", "1/6", 1)


def test_as_many_folds_as_images_of_a_class_or_as_sets():
    assert [len(fold) for fold in folds_of(part(LABELS), 10)] == [10] * 10
    assert [len(fold) for fold in folds_of(part(LABELS, np.arange(100) // 20), 5)] == [20] * 5
    assert (parse_fold("1/2"), parse_fold("2/2"), parse_fold("10/999999")) == ((1, 2), (2, 2), (10, 999999))
    numbers = fold_numbers(np.array([0, 0, 1, 1]), np.arange(4)[:, None], 2)
    assert sorted(numbers[:2]) == sorted(numbers[2:]) == [0, 1]
    with pytest.raises(InputError, match=r"^3 folds, but no class has as many images; expected fewer folds$"):
        fold_numbers(np.array([0, 0, 1, 1]), np.arange(4)[:, None], 3)


def test_a_fold_of_a_source_leaves_its_own_test_split_out(tmp_path):
    folds = [load("fashion-mini", per_class=20, fold=f"{n}/4", cache_dir=tmp_path) for n in range(1, 5)]
    own = set(load("fashion-mini", per_class=20, cache_dir=tmp_path).test.ids)
    held = [set(dataset.test.ids) for dataset in folds]
    assert [len(each) for each in held] == [50] * 4
    assert len(set.union(*held)) == 200
    assert not set.union(*held) & own
    for dataset in folds:
        assert not set(dataset.test.ids) & {*dataset.train.ids, *dataset.validation.ids}
        assert (len(dataset.train), len(dataset.validation)) == (135, 15)
    assert "fold 1/4: 50 of 200 images are held out as the test split" in folds[0].notes
    assert "the source's own test split of 200 images is left out of the folds" in folds[0].notes
