"""Inferences: known effects are found, null grids stay silent at the nominal rate, and every number recomputes."""

import functools
import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from keras_cnn.analysis.claims import Claim, Conclusion, excludes_zero, points, uphold
from keras_cnn.analysis.matched import ComparedRuns, accuracy_of, between_runs
from keras_cnn.evaluation import intervals
from keras_cnn.evaluation.predictions import write_predictions
from keras_cnn.report.findings import _worst_confusion, findings
from keras_cnn.run_folder.record import Record

SOURCE = {"data.source": "folder:photos", "name": "run"}


@pytest.fixture(autouse=True)
def quick_quantiles(monkeypatch):
    """Student's quantile is asked for the same levels again and again: kept, or each costs 14 ms."""
    monkeypatch.setattr(intervals, "student_t", functools.cache(intervals.student_t))


def run(folder: str, accuracy: float, **fields) -> Record:
    """A finished run; `model__dropout=0.3` is the field model.dropout."""
    config = SOURCE | {field.replace("__", "."): value for field, value in fields.items()}
    return Record(Path("runs") / folder, config=config, metrics={"accuracy": accuracy})


def grid(accuracy, **levels) -> list[Record]:
    """One run for each combination of `levels`; `accuracy` is called with each."""
    cells = [dict(zip(levels, values, strict=True)) for values in itertools.product(*levels.values())]
    return [run("-".join(map(str, cell.values())), accuracy(**cell), **cell) for cell in cells]


def about(found: list[Conclusion], word: str) -> list[Conclusion]:
    return [inference for inference in found if word in inference.sentence]


# --- matched comparisons ----------------------------------------------------------------------------------------------

# Test accuracies of dropout 0.3 and 0.5 in four otherwise equal configurations.
BLOCKS = {16: (0.72, 0.70), 32: (0.75, 0.71), 64: (0.78, 0.76), 128: (0.80, 0.766)}


def four_blocks() -> list[Record]:
    return [
        run(f"w{width}-d{dropout}", accuracy, model__filters=width, model__dropout=dropout)
        for width, pair in BLOCKS.items()
        for dropout, accuracy in zip((0.3, 0.5), pair, strict=True)
    ]


def test_a_matched_difference_by_hand():
    """Differences 0.02, 0.04, 0.02, 0.034: mean 0.0285, standard deviation 0.0101, t(3) = 3.182."""
    found = about(findings(four_blocks()), "dropout 0.3 beats")
    (only,) = found
    differences = [a - b for a, b in BLOCKS.values()]
    low, high = stats.t.interval(0.95, 3, np.mean(differences), stats.sem(differences))
    assert (only.direction, only.size) == ("higher", pytest.approx(0.0285))
    assert only.interval == pytest.approx((low, high), abs=1e-9)
    assert only.sentence == "model.dropout 0.3 beats 0.5 by 2.9 points [1.2, 4.5], 4 runs each"
    assert sorted(only.rows) == sorted(record.name for record in four_blocks())
    assert "matched" in only.method
    assert "4 blocks" in only.method
    assert "Holm's correction over" in only.method


def test_every_number_is_recomputable_from_its_rows():
    records = four_blocks()
    by_name = {record.name: record for record in records}
    for found in findings(records):
        rows = [by_name[name] for name in found.rows]
        if "beats" in found.sentence:
            field, better, worse = re.match(r"(\S+) (\S+) beats (\S+) by", found.sentence).groups()
            score = {
                level: np.mean([r.metrics["accuracy"] for r in rows if str(r.config[field]) == level])
                for level in (better, worse)
            }
            assert score[better] - score[worse] == pytest.approx(found.size)


def test_a_run_without_a_counterpart_stays_out_of_the_rows():
    lonely = run("lonely", 0.1, model__filters=256, model__dropout=0.5)
    records = four_blocks()
    (only,) = about(findings([*records, lonely]), "dropout 0.3 beats")
    assert only.size == pytest.approx(0.0285)
    assert "lonely" not in only.rows
    for record in records:
        record.metrics["validation"] = dict(record.metrics)
    del records[0].metrics["accuracy"]  # not tested, so that all are compared on the validation images
    (only,) = about(findings(records), "dropout 0.3 beats")
    assert only.method.startswith("validation accuracy, matched")


def test_a_trend_by_hand():
    """Accuracy rises by exactly 2 points a doubling, with a little more or less in each of three blocks."""
    slopes = {1: 0.019, 2: 0.02, 3: 0.021}
    records = grid(
        lambda model__filters, train__epochs: 0.5 + slopes[train__epochs] * math.log2(model__filters),
        model__filters=[8, 16, 32, 64],
        train__epochs=[1, 2, 3],
    )
    (only,) = about(findings(records), "doubling of model.filters")
    low, high = stats.t.interval(0.95, 2, 0.02, stats.sem(list(slopes.values())))
    assert only.size == pytest.approx(0.02)
    assert only.interval == pytest.approx((low, high), abs=1e-9)
    assert only.sentence.startswith("test accuracy rises by 2.0 points [1.8, 2.2] with every doubling of model.filters")
    assert only.sentence.endswith("from 8 to 64, 12 runs")
    assert len(only.rows) == 12


def test_a_falling_trend_over_even_steps():
    noise = {1: 0.001, 2: -0.001, 3: 0.0005}
    records = grid(
        lambda model__dropout, train__epochs: 0.8 - (0.1 + noise[train__epochs]) * model__dropout,
        model__dropout=[0.1, 0.2, 0.3],
        train__epochs=[1, 2, 3],
    )
    (only,) = about(findings(records), "falls")
    assert only.direction == "lower"
    assert only.size == pytest.approx(-np.mean([0.01 + n / 10 for n in noise.values()]))
    assert only.interval[0] < only.size < only.interval[1] < 0
    assert "with every 0.1 more of model.dropout from 0.1 to 0.3" in only.sentence


def test_choices_are_averaged_over_options_that_only_one_of_them_has():
    records = [
        run(f"net1-{w}-{e}", 0.60 + 0.001 * e, model__name="net1", model__width=w, train__epochs=e)
        for w, e in itertools.product((8, 16), (1, 2, 3))
    ]
    records += [run(f"net2-{e}", 0.70 + 0.002 * e, model__name="net2", train__epochs=e) for e in (1, 2, 3)]
    (only,) = about(findings(records), "model.name net2 beats net1")
    assert only.size == pytest.approx(0.102)
    assert only.sentence.endswith("3 and 6 runs, averaged over model.width")
    assert len(only.rows) == 9


# --- what is not claimed ----------------------------------------------------------------------------------------------


def test_repeats_of_the_seed_alone_need_six():
    def seeds(n):
        return [
            run(f"{d}-{s}", 0.7 + (0.02 if d == 0.3 else 0) + 0.001 * (s * d), model__dropout=d, seed=s)
            for d in (0.3, 0.5)
            for s in range(n)
        ]

    (few,) = findings(seeds(5))
    assert few.direction == "inconclusive"
    assert few.sentence.startswith("inconclusive: model.dropout 0.3 beats 0.5 by ")
    assert few.sentence.endswith("only the seed was repeated, 5 times of at least 6")
    (enough,) = findings(seeds(6))
    assert enough.direction == "higher"
    assert enough.sentence.startswith("model.dropout 0.3 beats 0.5 by ")


def test_no_difference_is_said_with_its_interval():
    pairs = {16: (0.70, 0.71), 32: (0.72, 0.70), 64: (0.74, 0.745)}
    records = [
        run(f"{w}-{d}", a, model__filters=w, model__dropout=d)
        for w, pair in pairs.items()
        for d, a in zip((0.3, 0.5), pair, strict=True)
    ]
    (only,) = about(findings(records), "dropout")
    differences = [a - b for a, b in pairs.values()]
    low, high = stats.t.interval(0.95, 2, np.mean(differences), stats.sem(differences))
    assert only.direction == "none"
    assert only.interval == pytest.approx((low, high), abs=1e-9)
    assert only.sentence.startswith("no difference could be shown between model.dropout 0.3 and 0.5 (")
    assert "3 runs each" in only.sentence
    above = {"net1": (0, 0, 0), "net2": (0.01, -0.02, 0.015), "net3": (0.05, -0.04, 0.03)}  # on average 0.17, 1.33
    records = [
        run(f"{name}-{width}", 0.7 + more, model__name=name, model__filters=width)
        for name, changes in above.items()
        for width, more in zip((16, 32, 64), changes, strict=True)
    ]
    (only,) = about(findings(records), "model.name")
    assert only.size == pytest.approx(0.04 / 3)
    assert only.sentence.startswith("no difference could be shown between model.name net3 and net1 (1.3 points")
    assert only.sentence.endswith("the largest of 3")


def test_a_confounded_comparison_names_the_other_fields():
    """Dropout 0.3 was run longer: six against six runs, no block in which both stand."""
    generator = np.random.default_rng(0)
    records = [
        run(f"{d}-{i}", acc + generator.normal(0, 0.002), model__dropout=d, train__epochs=e, optim__learning_rate=rate)
        for d, acc, epochs in ((0.3, 0.80, (30, 40, 50)), (0.5, 0.70, (5, 6, 7)))
        for i, (e, rate) in enumerate(itertools.product(epochs, (0.1, 0.01)))
    ]
    found = about(findings(records), "model.dropout 0.3")
    assert len(found) == 1
    sentence = found[0].sentence
    assert sentence.startswith("runs with model.dropout 0.3 beat those with 0.5 by ")
    assert sentence.endswith("6 runs each, but train.epochs differs between them too")
    assert "learning_rate" not in sentence  # spread alike over both sides
    assert "Welch" in found[0].method
    three = [record for record in records if record.config["optim.learning_rate"] == 0.1]
    (few,) = about(findings(three), "model.dropout 0.3")
    assert "3 runs each, but train.epochs differs" in few.sentence
    assert not about(findings([three[i] for i in (0, 1, 3, 4)]), "model.dropout")  # two a side show nothing


def test_fields_that_change_together_are_not_told_apart():
    records = [
        run(f"{w}-{aug}", 0.7 + (0.05 if aug else 0) + 0.0001 * w * (1 + aug), model__filters=w, train__epochs=30 + aug,
            data__augment__name=["none", "cs7015"][aug], data__augment__flip=0.5 * aug)
        for w in (8, 16, 32)
        for aug in (0, 1)
    ]  # fmt: skip
    (only,) = about(findings(records), "augment")
    assert only.sentence.startswith("data.augment.name cs7015 beats none by ")
    assert only.sentence.endswith("; train.epochs changes with it and cannot be told apart from it")


def test_equal_differences_are_no_certainty():
    """Two blocks with the very same difference have a spread of zero by chance; that is no interval of zero width."""
    records = grid(
        lambda model__dropout, train__epochs: {0.3: 0.75, 0.5: 0.5}[model__dropout],
        model__dropout=[0.3, 0.5],
        train__epochs=[1, 2, 3],
    )
    found = about(findings(records), "model.dropout")
    assert [f.direction for f in found] == ["none"]
    assert "no interval can be had" in found[0].sentence
    assert found[0].interval is None


def test_runs_of_different_images_are_not_compared():
    records = four_blocks()
    other = [
        Record(r.path, config=r.config | {"data.source": f"folder:{i % 2}"}, metrics=r.metrics)
        for i, r in enumerate(records)
    ]
    assert not about(findings(other), "dropout")
    assert findings([Record(Path("a"), config=SOURCE), Record(Path("b"), config=SOURCE)]) == []


def test_what_does_not_change_the_result_is_no_factor():
    records = [
        run(
            f"r{i}",
            0.7 + 0.01 * i,
            name=f"r{i}",
            tracking__group=f"g{i}",
            data__cache=str(i),
            published=f"p{i}",
            seed=i,
        )
        for i in range(4)
    ]
    assert findings(records) == []


# --- the rate of false sentences --------------------------------------------------------------------------------------


def factorial(generator: np.random.Generator, effect: float = 0.0) -> list[Record]:
    return grid(
        lambda a__x, b__y, c__z: round(0.7 + effect * (a__x == 2) + generator.normal(0, 0.01), 4),
        a__x=[1, 2],
        b__y=["p", "q", "r"],
        c__z=[True, False],
    )


def test_null_grids_give_false_sentences_at_most_at_the_nominal_rate():
    generator = np.random.default_rng(1)
    grids = 300
    false = sum(any(f.direction == "higher" for f in findings(factorial(generator))) for _ in range(grids))
    assert stats.binomtest(false, grids, 0.05, "greater").pvalue > 0.01  # at most 5 % but for chance: up to 25 grids
    assert false > 0  # a procedure that never speaks would pass as well


def test_a_real_effect_is_found_and_only_it():
    generator = np.random.default_rng(2)
    found = [findings(factorial(generator, effect=0.05)) for _ in range(30)]
    spoken = [[f.sentence for f in of_grid if f.direction == "higher"] for of_grid in found]
    assert sum(any(s.startswith("a.x 2 beats 1") for s in sentences) for sentences in spoken) >= 28
    assert sum(any("b.y" in s or "c.z" in s for s in sentences) for sentences in spoken) <= 4


def test_holm_by_yes_and_no_is_holm_by_p_values():
    generator = np.random.default_rng(3)
    for _ in range(200):
        p = generator.random(8) ** 4
        made = [
            Claim((i,), lambda alpha, value=value: value <= alpha, Conclusion("", "none", 0, None, (), ""))
            for i, value in enumerate(p)
        ]
        rejected = []
        for k, value in enumerate(sorted(p)):  # Holm's own words: in order, until one is above its share of alpha
            if value > 0.05 / (8 - k):
                break
            rejected.append(value)
        assert uphold(made) == [value in rejected for value in p]


# --- single runs, image by image --------------------------------------------------------------------------------------


def with_predictions(folder: Path, name: str, correct: np.ndarray, validation: float, ids=None, **fields) -> Record:
    path = folder / name
    path.mkdir()
    labels = np.arange(len(correct)) % 2
    guess = np.where(correct, labels, 1 - labels)
    probabilities = np.eye(2)[guess] * 0.8 + 0.1
    ids = ids or [f"test/{i}" for i in range(len(correct))]
    write_predictions(path / "predictions.csv", ids, [""] * len(ids), labels, probabilities, classes=["cat", "dog"])
    metrics = {"accuracy": float(correct.mean()), "validation": {"accuracy": validation}}
    config = SOURCE | {field.replace("__", "."): value for field, value in fields.items()}
    return Record(path, config=config, metrics=metrics)


def test_single_runs_are_compared_image_by_image(tmp_path):
    """Right alone on 30 and on 10 of 200 images: 10 points, exact McNemar p = 0.0022."""
    first, second = np.ones(200, bool), np.ones(200, bool)
    first[:10], second[10:40] = False, False
    records = [
        with_predictions(tmp_path, "a", first, 0.9, model__name="net1"),
        with_predictions(tmp_path, "b", second, 0.8, model__name="net2"),
    ]
    (only,) = findings(records)
    assert only.size == pytest.approx(0.1)
    assert only.rows == ("a", "b")
    assert only.sentence.startswith("a beats b by 10.0 points [")
    assert "200 test images, one run each: right alone on 30 of them against 10" in only.sentence
    differences = first.astype(float) - second
    resampled = np.random.default_rng(5).choice(differences, (4000, 200)).mean(axis=1)
    assert only.interval == pytest.approx(np.quantile(resampled, [0.025, 0.975]), abs=0.006)
    later = Record(records[1].path, records[1].config, metrics=records[1].metrics | {"validation": {"accuracy": 0.95}})
    worse_on_validation = [records[0], later]
    (turned,) = findings(worse_on_validation)
    assert (turned.rows, turned.size) == (("a", "b"), pytest.approx(0.1))
    third = with_predictions(tmp_path, "c", first, 0.1, model__name="net3")
    pairs = {frozenset(finding.rows) for finding in findings([*worse_on_validation, third])}
    assert pairs == {frozenset("ab"), frozenset("bc")}  # each other run against the best on validation, not on test


def test_single_runs_without_a_difference(tmp_path):
    first, second = np.ones(200, bool), np.ones(200, bool)
    first[:6], second[6:11] = False, False
    records = [
        with_predictions(tmp_path, "a", first, 0.9, model__name="net1"),
        with_predictions(tmp_path, "b", second, 0.8, model__name="net2"),
    ]
    (only,) = findings(records)
    assert only.direction == "none"
    assert only.sentence.startswith("no difference could be shown between b and a (0.5 points [")


def test_single_runs_on_other_images_cannot_be_compared(tmp_path):
    right = np.ones(20, bool)
    records = [
        with_predictions(tmp_path, "a", right, 0.9, model__name="net1"),
        with_predictions(tmp_path, "b", right, 0.8, ids=[f"other/{i}" for i in range(20)], model__name="net2"),
    ]
    (only,) = findings(records)
    assert only.direction == "cannot be compared"
    assert "20 only in the first" in only.sentence


# --- within one run ---------------------------------------------------------------------------------------------------


def of_one_run(confusion, **metrics) -> list[Conclusion]:
    confusion = np.array(confusion)
    names = ["cat", "dog", "ship"][: len(confusion)]
    correct, images = int(np.trace(confusion)), int(confusion.sum())
    record = Record(
        Path("runs/only"),
        config=dict(SOURCE),
        metrics={
            "images": images,
            "accuracy": correct / images,
            "per_class": {n: {"support": int(confusion[i].sum())} for i, n in enumerate(names)},
            "confusion": confusion.tolist(),
        }
        | metrics,
    )
    return findings([record])


def test_extreme_classes_by_simultaneous_intervals():
    confusion = [[50, 25, 25], [5, 90, 5], [10, 10, 80]]
    (only,) = about(of_one_run(confusion), "best")
    level = 0.05 / 3  # Bonferroni over the three classes
    low, high = (proportion_confint(k, 100, level, "wilson") for k in (50, 90))
    assert only.size == pytest.approx(0.4)
    assert only.interval == pytest.approx((high[0] - low[1], high[1] - low[0]), abs=1e-9)
    text = f"90.0 % [{100 * high[0]:.1f}, {100 * high[1]:.1f}] of the images of dog against 50.0 %"
    assert text in only.sentence
    assert not about(of_one_run([[70, 15, 15], [10, 78, 12], [12, 12, 76]]), "best")
    assert len(about(of_one_run([[50, 50], [10, 90]]), "best")) == 1  # two classes are enough


def test_the_worst_confusion_against_its_reverse():
    """40 cats taken for dogs, 10 dogs for cats, of 100 and 300 images: 25 % would be no preference."""
    confusion = [[60, 40, 0], [10, 290, 0], [0, 0, 100]]
    (only,) = about(of_one_run(confusion), "more often than")
    assert only.size == pytest.approx(40 / 50 - 0.25)
    assert "40 against 10 images, 80.0 % [" in only.sentence
    assert "where 25.0 % would be no preference" in only.sentence
    low, high = proportion_confint(40, 50, 0.05, "wilson")
    assert only.interval == pytest.approx((low - 0.25, high - 0.25), abs=1e-9)
    for others in ([[50, 0], [0, 50]], [[60, 40], [0, 0]]):  # no mistake; and no image of the class
        assert not about(of_one_run(others), "more often than")
    assert not about(of_one_run([[80, 12, 8], [9, 85, 6], [5, 5, 90]]), "more often than")


def assert_rejects_from(claim: Claim, p: float) -> None:
    """The claim's test rejects at levels from its p-value on, and at no lower one."""
    assert claim.rejects(p)
    assert not claim.rejects(p * 0.9999)


def test_p_values_are_those_of_the_named_tests(tmp_path):
    """The worst of three pairs of classes by Bonferroni; single runs by McNemar's exact test, 10 against 30 images."""
    confusion = np.array([[60, 40, 0], [28, 272, 0], [0, 0, 100]])
    (claim,) = _worst_confusion(confusion, ["cat", "dog", "ship"], "a")
    assert_rejects_from(claim, 3 * stats.binomtest(40, 68, 100 / 400).pvalue)
    first, second = np.ones(200, bool), np.ones(200, bool)
    first[:10], second[10:40] = False, False
    runs = (
        with_predictions(tmp_path, "a", first, 0.9, model__name="net1"),
        with_predictions(tmp_path, "b", second, 0.8, model__name="net2"),
    )
    ((claim,), _) = between_runs(ComparedRuns(runs, {id(run): run.name for run in runs}))
    assert_rejects_from(claim, stats.binomtest(10, 40).pvalue)


def test_an_interval_that_ends_at_zero_does_not_exclude_it():
    assert [excludes_zero(interval) for interval in ((0.0, 1.0), (-1.0, 0.0), (1e-9, 1.0), (-1.0, -1e-9))] == [
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "0.9", None])
def test_an_accuracy_is_a_finite_number(value):
    assert accuracy_of(Record(Path("runs/a"), metrics={"accuracy": value}), "test") is None


def test_overconfidence_by_hand():
    """Confidence 0.95 in 600 and 0.65 in 400 images: mean 0.83, against an accuracy of 0.75."""
    ece = {
        "value": 0.08,
        "edges": [0, 0.5, 0.8, 1],
        "counts": [0, 400, 600],
        "confidence": [None, 0.65, 0.95],
        "accuracy": [None, 0.6, 0.85],
    }
    (only,) = about(of_one_run([[375, 125], [125, 375]], ece=ece), "confident")
    low, high = proportion_confint(750, 1000, 0.05, "wilson")
    assert only.size == pytest.approx(0.08)
    assert only.interval == pytest.approx((0.83 - high, 0.83 - low), abs=1e-9)
    size = points(0.08, (0.83 - high, 0.83 - low))
    sentence = f"only is overconfident: its mean confidence lies {size} above its accuracy on 1,000 test images"
    assert only.sentence == sentence
    timid = ece | {"confidence": [None, 0.55, 0.75]}
    (only,) = about(of_one_run([[375, 125], [125, 375]], ece=timid), "confident")
    assert (only.direction, only.size) == ("lower", pytest.approx(-0.08))
    size = points(0.08, (low - 0.67, high - 0.67))
    assert f"underconfident: its mean confidence lies {size} below its accuracy" in only.sentence
    assert not about(of_one_run([[375, 125], [125, 375]], ece=ece | {"confidence": [None, 0.65, 0.83]}), "confident")


def test_calibration_of_an_older_run_is_taken_from_its_evaluation():
    ece = {"value": 0.1, "edges": [0, 1], "counts": [1000], "confidence": [0.9], "accuracy": [0.75]}
    metrics = {"images": 1000, "accuracy": 0.75}
    record = Record(Path("old"), config=dict(SOURCE), metrics=metrics, evaluations={"test": metrics | {"ece": ece}})
    (only,) = findings([record])
    assert only.size == pytest.approx(0.15)


def test_the_gap_to_the_training_images():
    (only,) = about(of_one_run([[300, 200], [100, 400]], train={"images": 4000, "accuracy": 0.8}), "training images")
    low, high = confint_proportions_2indep(3200, 4000, 700, 1000, method="newcomb")
    assert only.size == pytest.approx(0.1)
    assert only.interval == pytest.approx((low, high), abs=1e-9)
    assert only.sentence.startswith(f"only scores {points(0.1, (low, high))} higher on its training images")
    fewer = {"images": 2000, "accuracy": 1001 / 2000}  # 1000.9999999999999 of them
    (only,) = about(of_one_run([[300, 200], [100, 400]], train=fewer), "training images")
    low, high = confint_proportions_2indep(1001, 2000, 700, 1000, method="newcomb")
    assert only.interval == pytest.approx((low, high), abs=1e-9)
    assert (only.direction, only.size) == ("lower", pytest.approx(-0.1995))
    assert only.sentence.startswith(f"only scores {points(0.1995, (-high, -low))} lower on its training images")
    assert not about(of_one_run([[400, 100], [100, 400]], train={"images": 4000, "accuracy": 0.81}), "training images")


def test_the_onset_of_overfitting_is_described():
    history = tuple(
        {"epoch": e, "loss": 1 / e, "val_loss": v} for e, v in enumerate((1.0, 0.8, 0.9, 1.1, 1.2, 1.5), start=1)
    )
    record = Record(Path("runs/only"), config=dict(SOURCE), history=history, metrics={"accuracy": 0.7})
    (only,) = findings([record])
    assert (only.direction, only.size, only.interval) == ("description", 2.0, None)
    assert only.sentence == (
        "only overfits after epoch 2: until epoch 6 its validation loss goes from 0.800 to 1.500,"
        " its training loss from 0.500 to 0.167"
    )


# --- words ------------------------------------------------------------------------------------------------------------


def test_points_never_round_an_end_of_the_interval_to_zero():
    assert points(0.0288, (0.011, 0.046)) == "2.9 points [1.1, 4.6]"
    assert points(0.003, (0.0002, 0.0058)) == "0.30 points [0.02, 0.58]"
    assert points(0.0, (-0.01, 0.01)) == "0.0 points [-1.0, 1.0]"
    assert points(0.02, None) == "2.0 points (no interval can be had)"


def test_two_runs_of_one_name_are_told_apart_by_their_paths():
    records = [Record(Path(f"{place}/trial"), r.config, metrics=r.metrics) for place, r in enumerate(four_blocks())]
    assert all("trial" in row and "/" in row for row in findings(records)[0].rows)


def test_findings_are_plain_data():
    assert json.dumps([vars(found) for found in findings(four_blocks())])


def test_lists_are_values_too():
    compared = ComparedRuns((run("a", 0.5, model__rates=[0.1, 0.2]), run("b", 0.6, model__rates=[0.3])), {})
    (group,) = compared.groups
    assert group.levels == ["[0.1, 0.2]", "[0.3]"]
