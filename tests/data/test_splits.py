import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keras_cnn.data import Dataset, Split, duplicates, first_batch, split_record, splits
from keras_cnn.data import fingerprints as fp
from keras_cnn.data.dataset import evenly_spaced
from keras_cnn.data.duplicates import overlaps
from keras_cnn.data.splits import SourcePart, apportion, at_most_per_class, cut
from keras_cnn.errors import InputError


def part(sizes, hashes=None, prefix=""):
    """A SourcePart with `sizes` images of each class, all different unless `hashes` says otherwise."""
    labels = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    ids = tuple(f"{prefix}{label}/{i:03d}" for i, label in enumerate(labels))
    pixels = np.zeros((len(labels), 1, 1, 1), np.uint8)
    names = [f"{prefix}{i}" for i in range(len(labels))]
    for i, name in (hashes or {}).items():
        names[i] = name
    thumbnails = np.zeros((len(labels), 72), np.uint8)  # flat: no near-duplicates
    return SourcePart(Split(ids, labels, pixels=pixels), fp.Fingerprints(hashes_of(names), thumbnails))


def hashes_of(names):
    """A hash of 16 bytes for each name."""
    return np.array([list(hashlib.sha256(name.encode()).digest()[:16]) for name in names], np.uint8)


def counts(split, classes):
    return np.bincount(split.split.labels, minlength=classes).tolist()


@pytest.mark.parametrize(
    ("total", "sizes", "expected"),
    [
        (10, [50, 50], [5, 5]),
        (10, [60, 30, 10], [6, 3, 1]),
        (7, [50, 30, 20], [4, 2, 1]),  # 3.5, 2.1, 1.4: the one left over goes to .5
        (5, [1, 1, 1], [2, 2, 1]),  # 1.67 each: ties go to the first
        (10, [500, 490, 10], [4, 5, 1]),  # 5.0, 4.9, 0.1 would be 5, 5, 0: the rare class takes one from the first
        (0, [3, 4], [0, 0]),
    ],
)
def test_apportion_by_hand(total, sizes, expected):
    assert apportion(total, sizes) == expected


def test_shares_of_an_uneven_source():
    # 100 images, 60 + 30 + 10. Test 0.1: 6, 3, 1. Of the other 54, 27, 9 validation takes 20: 12, 6, 2.
    cuts = cut(part([60, 30, 10]), "abc", {"validation": 0.2, "test": 0.1})
    assert counts(cuts["test"], 3) == [6, 3, 1]
    assert [round(18 * share) for share in (60 / 90, 30 / 90)] == [12, 6]
    assert counts(cuts["validation"], 3) == [12, 6, 2]
    assert counts(cuts["train"], 3) == [42, 21, 7]


def test_counts_and_a_limited_train():
    cuts = cut(part([50, 50]), "ab", {"validation": 10, "test": 20}, train=30)
    assert [counts(cuts[name], 2) for name in ("train", "validation", "test")] == [[15, 15], [5, 5], [10, 10]]


def test_halves_are_rounded_up_in_decimal():
    # 0.15 of 30 is 4.5 in decimal, and 4.499... as a product of floats on some machines' rounding.
    cuts = cut(part([15, 15]), "ab", {"validation": 0.15})
    assert len(cuts["validation"].split) == 5


def test_a_small_fraction_is_one_image_a_class():
    cuts = cut(part([5, 5]), "ab", {"validation": 0.1, "test": 0.1})
    assert [counts(cuts[name], 2) for name in ("train", "validation", "test")] == [[3, 3], [1, 1], [1, 1]]
    assert len(cut(part([5, 5]), "ab", {"validation": 0.0})["validation"].split) == 0


def test_members_are_those_of_lowest_rank():
    pool = part([6, 6])
    cuts = cut(pool, "ab", {"test": 4}, seed=3)
    expected = set()
    for label in "01":
        ids = [i for i in pool.split.ids if i.startswith(label)]
        expected |= set(sorted(ids, key=lambda i: hashlib.sha256(f"3|{i}".encode()).hexdigest())[:2])
    assert set(cuts["test"].split.ids) == expected


def test_every_image_is_in_exactly_one_split():
    pool = part([40, 25, 17])
    cuts = cut(pool, "abc", {"validation": 0.1, "test": 0.1})
    ids = [i for name in cuts for i in cuts[name].split.ids]
    assert sorted(ids) == sorted(pool.split.ids)
    assert len(set(ids)) == len(ids)


def test_test_does_not_depend_on_validation():
    pool = part([33, 21])
    cuts = [cut(pool, "ab", {"validation": v, "test": 0.2})["test"].split.ids for v in (0, 0.1, 0.5)]
    assert cuts[0] == cuts[1] == cuts[2]


def test_seed_matters_and_listing_order_does_not():
    pool = part([40, 40])
    shuffled = pool.take(np.random.default_rng(0).permutation(80))
    first = {name: set(p.split.ids) for name, p in cut(pool, "ab", {"validation": 9, "test": 9}).items()}
    again = {name: set(p.split.ids) for name, p in cut(shuffled, "ab", {"validation": 9, "test": 9}).items()}
    other = {name: set(p.split.ids) for name, p in cut(pool, "ab", {"validation": 9, "test": 9}, seed=2).items()}
    assert first == again
    assert first != other


def test_identical_across_processes_and_hash_seeds():
    code = "import test_splits as t; print(t.cut(t.part([30, 20]), 'ab', {'validation': 7})['validation'].split.ids)"
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parents[1])])
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("0", "1")
    ]
    here_and_now = cut(part([30, 20]), "ab", {"validation": 7})["validation"].split.ids
    assert outputs == [str(here_and_now)] * 2


@pytest.mark.parametrize("seed", range(5))
def test_identical_images_never_cross_our_cut(seed):
    rng = np.random.default_rng(seed)
    hashes = {int(i): f"twin{rng.integers(8)}" for i in rng.choice(60, 25, replace=False)}
    pool = part([30, 30], hashes)
    cuts = cut(pool, "ab", {"validation": 0.2, "test": 0.2}, seed=seed)
    sides = {name: set(map(bytes, p.fingerprints.pixel_hashes)) for name, p in cuts.items()}
    assert not sides["train"] & sides["validation"]
    assert not sides["train"] & sides["test"]
    assert not sides["validation"] & sides["test"]
    assert counts(cuts["test"], 2) == [6, 6]  # exact all the same, from the images without a twin


@pytest.mark.parametrize("total", [2, 4, 6])
def test_only_pairs_are_kept_together(total):
    """Of one image a class a pair comes, since no single one exists; of three, the second pair has no room."""
    pool = part([10, 10], {i: f"pair{i // 2}" for i in range(20)})
    cuts = cut(pool, "ab", {"test": total})
    assert counts(cuts["test"], 2) == [2, 2]
    assert all(n == 2 for n in Counter(map(bytes, cuts["test"].fingerprints.pixel_hashes)).values())


def test_mapped_pixels_are_taken_into_another_file_by_the_hundred(tmp_path):
    values = np.arange(600, dtype=np.uint16).view(np.uint8).reshape(600, 1, 2, 1)
    mapped = np.memmap(tmp_path / "pixels", np.uint8, "w+", shape=values.shape)
    mapped[:] = values
    pool = part([300, 300])
    order = np.random.default_rng(0).permutation(600)[:590]
    taken = SourcePart(replace(pool.split, pixels=mapped), pool.fingerprints).take(order).split
    assert isinstance(taken.pixels, np.memmap)
    np.testing.assert_array_equal(taken.pixels, values[order])
    assert taken.ids == tuple(pool.split.ids[i] for i in order)


def test_single_images_are_taken_before_pairs_whatever_their_rank():
    """Of six images of a class two pairs are the same: a test split of two takes the two single ones, for any seed."""
    pool = part([6, 6], {0: "p", 1: "p", 2: "q", 3: "q", 6: "r", 7: "r", 8: "s", 9: "s"})
    for seed in range(10):
        ids = cut(pool, "ab", {"test": 4}, seed=seed)["test"].split.ids
        assert ids == ("0/004", "0/005", "1/010", "1/011")


def test_contradictory_labels_stay_in_train():
    pool = part([10, 10], {0: "x", 15: "x"})
    for seed in range(10):
        train = cut(pool, "ab", {"validation": 6, "test": 6}, seed=seed)["train"].split.ids
        assert {pool.split.ids[0], pool.split.ids[15]} <= set(train)


@pytest.mark.parametrize(
    ("shares", "train", "message"),
    [
        ({"validation": 1.5}, None, "validation = 1.5: expected a fraction"),
        ({"validation": -1}, None, "validation = -1"),
        ({"validation": True}, None, "validation = True"),
        ({"validation": float("nan")}, None, "validation = nan"),
        ({"test": 1}, None, "test gets 1 images, too few for 2 classes"),
        ({"test": 10, "validation": 9}, None, "10 for test \\+ 9 for validation cannot be cut from 20 images"),
        ({"test": 10}, 11, "cannot be cut from 20 images"),
        ({"test": 4}, 0, "train gets no images"),
    ],
)
def test_impossible_shares(shares, train, message):
    with pytest.raises(InputError, match=message) as error:
        cut(part([10, 10]), "ab", shares, train)
    assert "\n" not in str(error.value)


def test_all_images_may_be_cut_as_long_as_every_class_has_one_in_train():
    cuts = cut(part([10, 10]), "ab", {"test": 10, "validation": 8})
    assert [counts(cuts[name], 2) for name in ("train", "validation", "test")] == [[1, 1], [4, 4], [5, 5]]
    cuts = cut(part([10, 10]), "ab", {"test": 10}, train=10)
    assert [counts(cuts[name], 2) for name in ("train", "test")] == [[5, 5], [5, 5]]


def test_class_too_small():
    with pytest.raises(InputError, match="class 'b' has 2 images"):
        cut(part([30, 2]), "ab", {"validation": 0.1, "test": 0.1})
    cuts = cut(part([30, 3]), "ab", {"validation": 0.1, "test": 0.1})
    assert [counts(cuts[name], 2)[1] for name in ("train", "validation", "test")] == [1, 1, 1]


def test_per_class_cap():
    pool = part([10, 3])
    capped = at_most_per_class(pool, 4, seed=1)
    assert counts(capped, 2) == [4, 3]
    assert set(at_most_per_class(pool, 2, seed=1).split.ids) < set(capped.split.ids)


def test_first_batch_mixes_classes():
    batch = first_batch(part([500, 500]).split, 64, seed=1)
    assert len(set(batch.ids)) == 64
    assert 15 < batch.labels.sum() < 49
    assert len(first_batch(part([3, 3]).split, 64, seed=1)) == 6


def dataset(**ids):
    parts = {
        name: Split(tuple(ids.get(name, ())), np.zeros(len(ids.get(name, ())), np.int32))
        for name in ("train", "validation", "test")
    }
    return Dataset("x", ("a", "b"), (1, 1, 1), **parts)


def test_record_hashes_ids_labels_and_pixels():
    ids = {"train": ["a/é", "a/2"], "validation": ["a/3"], "test": []}
    record = split_record(dataset(**ids))
    listed = '{"train":["a/\\u00e9","a/2"],"validation":["a/3"],"test":[]}'
    text = f'[{listed},{{"train":[0,0],"validation":[0],"test":[]}},null]'
    assert record["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert record["ids"] == ids
    assert record["counts"] == {"train": 2, "validation": 1, "test": 0}
    json.dumps(record)


def test_record_refuses_a_shared_id():
    with pytest.raises(InputError, match="'a/1' is in train and again in test"):
        split_record(dataset(train=["a/1", "a/2"], test=["a/1"]))


def test_overlaps_are_counted_and_listed():
    parts = {
        "train": part([3, 2], {0: "same", 1: "inside", 2: "inside"}, prefix="t"),
        "test": part([2, 2], {3: "same"}, prefix="e"),
    }
    found = overlaps(parts)["duplicates"]
    assert (found["sets"], found["images"], found["sets_across_splits"]) == (2, 4, 1)
    assert found["sets_with_different_labels"] == 1  # class 0 in train, class 1 in test
    assert found["listed"][0] == [("train", "t0/000"), ("test", "e1/003")]
    assert found["listing"].startswith("1 of 1 sets across splits, then 1 of 1 inside one split;")
    json.dumps(found)


def test_a_set_that_only_its_last_image_takes_across_splits_is_listed_first():
    parts = {
        "train": part([4, 3], {0: "inside", 1: "inside", 2: "across", 3: "across"}, prefix="t"),
        "test": part([2, 2], {3: "across"}, prefix="e"),
    }
    found = overlaps(parts)["duplicates"]
    assert (found["sets"], found["images"], found["sets_across_splits"]) == (2, 5, 1)
    assert found["listed"] == [
        [("train", "t0/002"), ("test", "e1/003"), ("train", "t0/003")],
        [("train", "t0/000"), ("train", "t0/001")],
    ]


def test_a_split_says_how_many_images_of_how_many_classes_it_has():
    one = part([3, 0, 2]).split
    assert repr(one) == "<Split: 5 images of 2 classes, an array (5, 1, 1, 1)>"
    assert (one.short_name(4), one.paths) == ("2/004", [""] * 5)
    sets = np.array([[1, 0, 0], [1, 0, 1], [0, 0, 0], [1, 0, 0]], np.uint8)
    several = Split(("a", "b/c/d", "e", "f"), sets, pixels=np.zeros((4, 1, 1, 1), np.uint8))
    assert repr(several) == "<Split: 4 images of 2 classes, an array (4, 1, 1, 1)>"
    assert several.short_name(1) == "c/d"
    data = Dataset("x", ("k", "l", "m"), (2, 3, 1), several, several.take([1]), several.take([]))
    assert repr(data) == "<Dataset x: 4 train, 1 validation, 0 test; 3 classes, several an image; 2×3×1>"
    assert "<tr><td>k</td><td>3</td><td>1</td><td>0</td></tr>" in data._repr_html_()
    assert "<tr><td>in all</td><td>4</td><td>1</td><td>0</td></tr>" in data._repr_html_()


@pytest.mark.parametrize(
    ("count", "most", "expected"),
    [(5, 5, [0, 1, 2, 3, 4]), (5, 9, [0, 1, 2, 3, 4]), (9, 3, [0, 4, 8]), (9, 1, [0]), (9, 0, []), (0, 3, [])],
)
def test_evenly_spaced_numbers_include_both_ends(count, most, expected):
    assert evenly_spaced(count, most).tolist() == expected


def test_the_findings_of_many_images_are_kept_until_an_image_or_a_label_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(duplicates, "_MANY", 9)
    parts = {"train": part([3, 2], {1: "same", 2: "same"}, prefix="t"), "test": part([2, 2], prefix="e")}
    found = json.loads(json.dumps(overlaps(parts, tmp_path)))
    (kept,) = (tmp_path / "duplicates").iterdir()
    assert json.loads(kept.read_text()) == found
    for damaged in ("{", "[]", "{}"):
        kept.write_text(damaged)
        assert json.loads(json.dumps(overlaps(parts, tmp_path))) == json.loads(kept.read_text()) == found
    kept.write_text(json.dumps(found | {"pixels_sha256": "kept"}))
    assert overlaps(parts, tmp_path)["pixels_sha256"] == "kept"
    labels = parts["test"].split.labels[::-1].copy()
    other = parts | {"test": replace(parts["test"], split=replace(parts["test"].split, labels=labels))}
    assert overlaps(other, tmp_path)["pixels_sha256"] == found["pixels_sha256"]
    monkeypatch.setattr(duplicates, "_MANY", 10)
    overlaps(parts, tmp_path / "of few")
    assert not (tmp_path / "of few").exists()


def textured(part, seed):
    """The part with thumbnails of one noisy picture: all look the same."""
    picture = np.random.default_rng(9).integers(40, 200, 72)
    noise = np.random.default_rng(seed).integers(0, 2, (len(part.split), 72))
    return SourcePart(part.split, fp.Fingerprints(part.fingerprints.pixel_hashes, (picture + noise).astype(np.uint8)))


def test_the_ids_of_many_images_are_not_in_the_record_but_in_its_hash(monkeypatch):
    sides = (part(sizes, prefix=prefix).split for sizes, prefix in (([3, 3], ""), ([2, 2], "v"), ([1, 1], "t")))
    dataset = Dataset("x", ("a", "b"), (1, 1, 1), *sides)
    whole = split_record(dataset)
    monkeypatch.setattr(splits, "LISTED_IDS", 11)
    short = split_record(dataset)
    assert (whole["ids"]["test"], short["ids"]) == (["t0/000", "t1/001"], None)
    assert (short["sha256"], short["counts"]) == (whole["sha256"], {"train": 6, "validation": 4, "test": 2})


def test_every_near_duplicate_across_splits_is_listed_before_the_first_inside_one(monkeypatch):
    parts = {"train": textured(part([30, 30], prefix="t"), 1), "test": textured(part([3, 2], prefix="e"), 2)}
    found = overlaps(parts)["near_duplicates"]
    assert (found["pairs"], found["pairs_across_splits"]) == (65 * 64 // 2, 60 * 5)
    assert found["listing"] == "300 of 300 pairs across splits, then 100 of 1,780 inside one split"
    assert len(found["listed"]) == 400
    crossing = {(one[1], other[1]) for one, other, _ in found["listed"][:300]}
    assert crossing == {(i, j) for i in parts["train"].split.ids for j in parts["test"].split.ids}
    assert all(one[0] == other[0] for one, other, _ in found["listed"][300:])
    json.dumps(found)
    monkeypatch.setattr(duplicates, "LISTED_ACROSS", 7)
    found = overlaps(parts)["near_duplicates"]
    assert found["listing"].startswith("7 of 300 pairs across splits")
    assert len(found["listed"]) == 107


def test_a_set_too_large_to_list_shows_all_its_splits():
    parts = {
        "train": part([150, 1], dict.fromkeys(range(150), "same"), prefix="t"),
        "test": part([2, 1], {1: "same"}, prefix="e"),
    }
    found = overlaps(parts)["duplicates"]
    assert (found["sets"], found["images"]) == (1, 151)
    assert found["listed"][0][:3] == [("train", "t0/000"), ("test", "e0/001"), ("train", "t0/001")]
    assert len(found["listed"][0]) == 100
