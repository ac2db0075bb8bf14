import numpy as np
import pytest

from keras_cnn.data.corruptions import CORRUPTIONS
from keras_cnn.data.dataset import Split
from keras_cnn.evaluation.intervals import paired_bootstrap, wilson
from keras_cnn.evaluation.robustness import Robustness, corrupted_batches, measure

IDS = ("a", "b", "c", "d")


def of(clean: list[int], errors: int) -> Robustness:
    """Four images, of which each corruption gets the first `errors` wrong at every strength."""
    wrong = np.tile(np.arange(4) < errors, (5, 1))
    return Robustness(IDS, np.array(clean, bool), dict.fromkeys(CORRUPTIONS, wrong))


def test_errors_and_relative_errors_worked_out_by_hand():
    reference = {"run": "old"} | of([1, 0, 0, 0], 3).as_json()
    assert (reference["clean_error"], reference["mean_error"]) == (0.25, 0.75)
    half = of([1, 0, 0, 0], 2)
    harder = dict(half.wrong)
    harder["fog"] = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]], bool)
    found = Robustness(IDS, half.clean, harder).as_json(reference)
    fog = found["corruptions"]["fog"]
    assert fog["errors"] == [0, 0.25, 0.5, 0.75, 1]
    assert fog["intervals"][1] == list(wilson(1, 4))
    assert fog["error"] == pytest.approx(0.5)
    assert fog["error_interval"] == list(paired_bootstrap(np.array([0.8, 0.6, 0.4, 0.2])))
    assert found["mean_error"] == pytest.approx(0.5)
    of_image = (14 * np.array([1, 1, 0, 0]) + [0.8, 0.6, 0.4, 0.2]) / 15  # two wrong under each of the others
    assert found["mean_error_interval"] == pytest.approx(paired_bootstrap(of_image))
    assert found["mean_increase_interval"] == pytest.approx(paired_bootstrap(of_image - [1, 0, 0, 0]))
    assert found["clean_interval"] == list(wilson(1, 4))
    assert (found["images"], found["ids"], found["seed"]) == (4, list(IDS), 0)
    assert fog["relative_to_reference"] == pytest.approx(0.5 / 0.75)  # CE: sums of errors, divided
    assert fog["degradation_relative"] == pytest.approx((0.5 - 0.25) / (0.75 - 0.25))
    assert (found["mce"], found["relative_mce"]) == pytest.approx((2 / 3, 1 / 2))
    assert found["reference"] == "old"


def test_a_reference_that_does_not_get_worse_has_no_relative_error():
    reference = {"run": "old"} | of([1, 0, 0, 0], 1).as_json()
    found = of([1, 0, 0, 0], 2).as_json(reference)
    assert found["mce"] == pytest.approx(2)
    assert found["relative_mce"] is None
    perfect = {"run": "old"} | of([0, 0, 0, 0], 0).as_json()
    found = of([1, 0, 0, 0], 2).as_json(perfect)
    assert (found["mce"], found["relative_mce"]) == (None, None)
    assert found["corruptions"]["fog"]["relative_to_reference"] is None


def test_corrupted_images_depend_on_their_ids_and_not_on_the_batch():
    random = np.random.default_rng(0)
    pixels, labels = random.integers(0, 256, (70, 8, 8, 3)).astype(np.uint8), np.zeros(70, np.int32)
    split = Split(tuple(f"image {i}" for i in range(70)), labels, pixels=pixels)
    (first,), (second,) = corrupted_batches(pixels, split.keys, "gaussian_noise", 3)
    assert (len(first), len(second)) == (64, 6)
    chosen = split.take([69, 2])
    ((again,),) = corrupted_batches(chosen.pixels, chosen.keys, "gaussian_noise", 3)
    np.testing.assert_array_equal(again, [second[5], first[2]])
    assert not np.array_equal(first[0] - pixels[0], first[1] - pixels[1])


def test_each_corruption_and_strength_is_predicted():
    calls = []

    class Dark:
        """Takes images for the class 1 that are darker than half."""

        def logits(self, batches) -> np.ndarray:
            images = np.concatenate([batch for (batch,) in batches])
            calls.append(len(images))
            dark = images.mean(axis=(1, 2, 3)) < 128
            return np.stack([~dark, dark], axis=1).astype(np.float32)

    pixels = np.full((3, 16, 16, 1), 90, np.uint8)
    split = Split(("a", "b", "c"), np.array([1, 1, 0], np.int32), pixels=pixels)
    found = measure(Dark(), split, pixels)
    assert calls == [3] * 76
    assert found.clean.tolist() == [False, False, True]
    assert found.wrong["brightness"].tolist() == [[False, False, True]] * 2 + [[True, True, False]] * 3  # 90 + 38 = 128
    assert found.wrong["contrast"].tolist() == [[False, False, True]] * 5
