import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from keras_cnn.errors import InputError
from keras_cnn.evaluation import protocol, verdicts
from keras_cnn.evaluation.facts import ClassAccuracies, Protocol, Quoted, combined, facts_of, known
from keras_cnn.evaluation.protocol import audit, passed, unknown
from keras_cnn.run_folder.record import Record, read_record

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT.parent / "shared" / "published"

CLEAN = Protocol(
    train_images=45_000,
    validation_images=5_000,
    test_images=10_000,
    ids_disjoint=True,
    exact_duplicates=0,
    exact_duplicates_in_test=0,
    near_duplicates=0,
    near_duplicates_in_test=0,
    groups=40,
    groups_across=0,
    groups_in_test=0,
    epochs=30,
    epoch_chosen_on="validation",
    configurations=4,
    configuration_chosen_on="validation",
    result_split="test",
    accuracy=0.5,
    has_interval=True,
    seeds=6,
    test_readings=1,
    tested=4,
    highest_on_test=True,
    highest_on_validation=True,
    test_augmentation="none",
    dropout_active=False,
    batch_norm_training=False,
    fixed_training_mode="none",
    output_activation="linear",
    class_accuracies=(ClassAccuracies("test split", (0.25, 0.75), 0.5, (5_000, 5_000)),),
    quoted=(Quoted("the number of weights", 42, 42),),
)

# The flaws of the five reports as facts. Class accuracies: CS7015, table 1; CIFAR-10 has 1,000 test images a class.
CS7015_CLASSES = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CS7015_BEFORE = (0.86, 0.96, 0.75, 0.70, 0.96, 0.84, 0.86, 0.88, 1.00, 0.92)
CS7015_AFTER = (0.82, 0.96, 0.81, 0.82, 0.92, 0.81, 0.88, 0.88, 0.81, 0.87)
CS7015_TABLES = (
    ClassAccuracies("before the ablation", CS7015_BEFORE, 0.8986, (1_000,) * 10, 0.01, 0.0001),
    ClassAccuracies("after the ablation", CS7015_AFTER, 0.8694, (1_000,) * 10, 0.01, 0.0001),
)
CS7015 = Protocol(  # net4: 100 epochs of each of 2 cells, epoch 91 quoted
    train_images=50_000,
    validation_images=0,
    test_images=10_000,
    epochs=100,
    epoch_chosen_on="test",
    configurations=2,
    configuration_chosen_on="test",
    result_split="test",
    accuracy=0.8874,
    has_interval=False,
    seeds=1,
    test_readings=200,
    test_augmentation="random crops of 32x32 from 40x40",
    dropout_active=True,
    class_accuracies=CS7015_TABLES,
)
RECEPTIVE_FIELDS = tuple(
    Quoted(f"the receptive field of convolution {i}", printed, exact)
    for i, (printed, exact) in enumerate(zip((3, 5, 7, 13, 17), (3, 5, 7, 12, 16), strict=True), 1)
)

CASES = [  # file below published/, the flaw in its words, the facts, the findings it must lead to
    (
        "cs7015",
        "test accuracy measured with dropout active and on randomly cropped test images",
        Protocol(dropout_active=CS7015.dropout_active, test_augmentation=CS7015.test_augmentation, result_split="test"),
        {"dropout-while-evaluating": "weakens", "test-images-augmented": "weakens"},
    ),
    (
        "cs7015",
        "best epoch and configuration chosen on the test set, no validation split",
        replace(
            Protocol(epochs=100, configurations=2, result_split="test", validation_images=0),
            epoch_chosen_on="test",
            configuration_chosen_on="test",
        ),
        {
            "epoch-chosen-on-test": "invalidates",
            "configuration-chosen-on-test": "invalidates",
            "no-validation-split": "weakens",
            "best-epoch-quoted": "weakens",
            "best-configuration-quoted": "weakens",
        },
    ),
    (
        "cs7015",
        "the test set is balanced, yet the class accuracies average 87.3/85.8 against an overall of 89.86/86.94",
        Protocol(class_accuracies=CS7015_TABLES),
        {"class-average-contradicts-overall": "invalidates"},
    ),
    (
        "cs7015",
        "one seed per cell, no intervals",
        Protocol(seeds=1, configurations=2, has_interval=False),
        {"one-seed": "weakens", "no-interval": "weakens"},
    ),
    (
        "comp5623",
        "the printed table has a ReLU after the logits",
        Protocol(output_activation="relu"),
        {"activation-on-logits": "weakens"},
    ),
    (
        "in4310",
        "the split check compares ids, not pixels, so duplicate photos across splits go unseen",
        Protocol(train_images=10_800, validation_images=2_700, test_images=1_500, ids_disjoint=True),
        {"split-compared-by-id-only": "weakens"},
    ),
    (
        "cs6910",
        "the text says training every layer takes half the time; its own table says twice",
        Protocol(
            quoted=(
                Quoted("resnet50: minutes with every layer trained, over those of the head", 0.5, 4.798 / 2.657, 0.1),
                Quoted("inceptionv3: the same", 0.5, 6.743 / 3.225, 0.1),
            )
        ),
        {"quoted-number-contradicted": "weakens"},
    ),
    # No `flaw:` of their own, but told in a comment or shown by the figures:
    ("cs7015", None, Protocol(quoted=RECEPTIVE_FIELDS), {"quoted-number-contradicted": "weakens"}),
    (
        "tdt4265",
        None,
        Protocol(quoted=(Quoted("LeNet's parameters", 390_400, 2432 + 51264 + 204928 + 131136 + 640 + 10),)),
        {"quoted-number-contradicted": "weakens"},
    ),
    (
        "comp5623",
        None,
        Protocol(quoted=(Quoted("the optimal number of epochs, by validation loss", 10, 3),)),
        {"quoted-number-contradicted": "weakens"},
    ),
    (
        "cs6910",  # part B quotes 82.6 %, the highest validation accuracy of a sweep
        None,
        Protocol(result_split="validation", configuration_chosen_on="validation", accuracy=0.826),
        {"best-configuration-quoted": "weakens"},
    ),
]


def severities(facts: Protocol) -> dict[str, str]:
    return {finding.flaw: finding.severity for finding in audit(facts)}


def only(findings: list, flaw: str):
    (found,) = [finding for finding in findings if finding.flaw == flaw]
    return found


def test_a_clean_protocol_passes_every_check():
    assert audit(CLEAN) == []
    assert unknown(CLEAN) == []
    assert [finding.flaw for finding in passed(CLEAN)] == list(protocol.CHECK_NAMES)
    assert all(finding.sentence.endswith(".") for finding in passed(CLEAN))


def test_what_is_not_known_is_neither_a_flaw_nor_a_pass():
    assert audit(Protocol()) == []
    assert passed(Protocol()) == []
    assert [finding.flaw for finding in unknown(Protocol())] == list(protocol.CHECK_NAMES)


SUPPORTING = {  # facts that only lend numbers to a finding, or that another fact can stand in for
    "train_images",
    "test_images",
    "ids_disjoint",
    "exact_duplicates_in_test",
    "near_duplicates_in_test",
    "groups",
    "groups_in_test",
    "epochs",
    "configurations",
    "accuracy",
}


@pytest.mark.parametrize("name", [f.name for f in fields(Protocol) if f.name != "sources"])
def test_forgetting_a_fact_makes_no_flaw_and_no_pass(name):
    less = replace(CLEAN, **{name: None})
    assert audit(less) == []
    assert bool(unknown(less)) == (name not in SUPPORTING)
    assert {f.flaw for f in passed(less)} == set(protocol.CHECK_NAMES) - {f.flaw for f in unknown(less)}


@pytest.mark.parametrize(
    ("changes", "flaw", "severity"),
    [
        ({"epoch_chosen_on": "test"}, "epoch-chosen-on-test", "invalidates"),
        ({"configuration_chosen_on": "test"}, "configuration-chosen-on-test", "invalidates"),
        ({"highest_on_validation": False}, "highest-test-accuracy-quoted", "weakens"),
        ({"validation_images": 0}, "no-validation-split", "weakens"),
        ({"result_split": "validation"}, "best-epoch-quoted", "weakens"),
        ({"result_split": "validation"}, "best-configuration-quoted", "weakens"),
        ({"test_augmentation": "flips"}, "test-images-augmented", "weakens"),
        ({"dropout_active": True}, "dropout-while-evaluating", "weakens"),
        ({"batch_norm_training": True}, "batch-norm-in-training-mode", "invalidates"),
        ({"fixed_training_mode": "bn1 (BatchNormalization)"}, "training-mode-fixed", "note"),
        ({"output_activation": "softmax"}, "activation-on-logits", "weakens"),
        ({"output_activation": "softplus"}, "activation-on-logits", "weakens"),
        ({"ids_disjoint": False}, "duplicates-across-splits", "invalidates"),
        ({"exact_duplicates": 3, "exact_duplicates_in_test": None}, "duplicates-across-splits", "weakens"),
        ({"near_duplicates": 3, "near_duplicates_in_test": 0}, "near-duplicates-across-splits", "note"),
        ({"exact_duplicates": None, "near_duplicates": None}, "split-compared-by-id-only", "weakens"),
        ({"quoted": (Quoted("weights", 42, 43),)}, "quoted-number-contradicted", "weakens"),
        ({"test_readings": 2}, "test-split-read-again", "note"),
        ({"seeds": 1}, "one-seed", "weakens"),
        ({"seeds": 1, "configurations": 1}, "one-seed", "note"),
        ({"has_interval": False}, "no-interval", "weakens"),
    ],
)
def test_one_flaw_in_a_clean_protocol(changes, flaw, severity):
    found = audit(replace(CLEAN, **changes))
    assert only(found, flaw).severity == severity
    allowed = {flaw}
    if changes.get("result_split"):
        allowed = {"best-epoch-quoted", "best-configuration-quoted"}
    if "test" in changes.values():  # then its maximum on the test images is what is quoted
        allowed |= {f"best-{flaw.split('-')[0]}-quoted"}
    assert {finding.flaw for finding in found} == allowed
    assert not {finding.flaw for finding in passed(replace(CLEAN, **changes))} & allowed


@pytest.mark.parametrize(
    ("known", "found"),
    [
        (
            {"tested": 1, "highest_on_test": None, "highest_on_validation": None},
            "passed",
        ),  # one run, however often read
        ({"highest_on_test": False, "highest_on_validation": None}, "passed"),
        ({"highest_on_test": True, "highest_on_validation": None}, "unknown"),
        ({"highest_on_test": None}, "unknown"),
    ],
)
def test_the_highest_test_accuracy_is_no_flaw_where_another_is_higher_or_nothing_known(known, found):
    facts = replace(CLEAN, test_readings=3, **known)
    (finding,) = [one for one in (*passed(facts), *unknown(facts)) if one.flaw == "highest-test-accuracy-quoted"]
    assert finding.severity == found
    assert {one.flaw for one in audit(facts)} == {"test-split-read-again"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}: {case[1]}")
def test_published_flaws_are_found_and_no_others(case):
    _, _, facts, expected = case
    assert severities(facts) == expected


def test_cs7015_as_a_whole():
    assert severities(CS7015) == {
        "epoch-chosen-on-test": "invalidates",
        "configuration-chosen-on-test": "invalidates",
        "class-average-contradicts-overall": "invalidates",
        "no-validation-split": "weakens",
        "best-epoch-quoted": "weakens",
        "best-configuration-quoted": "weakens",
        "test-images-augmented": "weakens",
        "dropout-while-evaluating": "weakens",
        "one-seed": "weakens",
        "no-interval": "weakens",
        "test-split-read-again": "note",
    }
    found = audit(CS7015)
    order = [verdicts.SEVERITIES.index(finding.severity) for finding in found]
    assert order == sorted(order)
    before, after = [f for f in found if f.flaw == "class-average-contradicts-overall"]
    # (86 + 96 + 75 + 70 + 96 + 84 + 86 + 88 + 100 + 92) / 10 and (82 + 96 + ... + 87) / 10
    assert "average 87.30 %" in before.sentence
    assert "given as 89.86 %" in before.sentence
    assert "average 85.80 %" in after.sentence
    assert "given as 86.94 %" in after.sentence
    assert "+2.56 points; rounding in print explains -0.510 to +1.005" in before.evidence[0]
    assert "+1.14 points" in after.evidence[0]
    assert "the best of 100 on" in only(found, "epoch-chosen-on-test").sentence
    assert "read 200 times" in only(found, "test-split-read-again").sentence
    # statsmodels' proportion_confint(8874, 10000, method="wilson"): 0.8810551, 0.8934473
    assert "from 88.11 % to 89.34 %" in only(found, "no-interval").sentence
    assert {f.flaw for f in unknown(CS7015)} == {
        "highest-test-accuracy-quoted",
        "batch-norm-in-training-mode",
        "training-mode-fixed",
        "activation-on-logits",
        "duplicates-across-splits",
        "groups-across-splits",
        "near-duplicates-across-splits",
        "split-compared-by-id-only",
        "quoted-number-contradicted",
    }
    assert passed(CS7015) == []


def test_quoted_numbers_that_follow_stay_out_of_the_findings():
    found = audit(Protocol(quoted=RECEPTIVE_FIELDS))
    assert [finding.sentence for finding in found] == [
        "The receptive field of convolution 4 is quoted as 13, but its own data give 12.",
        "The receptive field of convolution 5 is quoted as 17, but its own data give 16.",
    ]
    (fine,) = [f for f in passed(Protocol(quoted=RECEPTIVE_FIELDS)) if f.flaw == "quoted-number-contradicted"]
    assert len(fine.evidence) == 3


def test_an_honest_published_table_passes():
    """IN4310: recalls of 250 images a class to two digits, accuracy 0.97; their mean is 0.965."""
    recalls = (0.95, 0.99, 0.94, 0.94, 0.99, 0.98)
    table = ClassAccuracies("report", recalls, 0.97, (250,) * 6, 0.01, 0.01)
    assert only(passed(Protocol(class_accuracies=(table,))), "class-average-contradicts-overall")
    assert audit(Protocol(class_accuracies=(replace(table, overall=0.99),))) != []
    assert audit(Protocol(class_accuracies=(replace(table, images=None),))) == []
    assert only(unknown(Protocol(class_accuracies=(replace(table, images=None),))), "class-average-contradicts-overall")


@pytest.mark.parametrize("balanced", [True, False])
def test_printing_alone_never_contradicts(balanced):
    """Correct counts printed in every usual way, rounded or cut off: never a finding, also in the worst cases."""
    rng = np.random.default_rng(7)
    for trial in range(600):
        classes = int(rng.integers(2, 30))
        images = np.full(classes, rng.integers(1, 2000)) if balanced else rng.integers(1, 2000, classes)
        correct = rng.integers(0, images + 1)
        if trial % 3 == 0:  # every class at the far end of what is cut off
            correct = np.minimum(images, (images * 0.01 * rng.integers(0, 100) + 0.0099 * images).astype(int))
        overall = correct.sum() / images.sum()
        digits, overall_digits = rng.integers(1, 5, 2)
        for printed in (np.round, cut_off, lambda v, d: np.floor(v * 10.0**d + 0.5) / 10.0**d):
            table = ClassAccuracies(
                "table",
                tuple(printed(correct / images, digits).tolist()),
                float(printed(overall, overall_digits)),
                tuple(images.tolist()),
                10.0**-digits,
                10.0**-overall_digits,
            )
            assert audit(Protocol(class_accuracies=(table,))) == []


def cut_off(values, digits):
    return np.floor(values * 10.0**digits) / 10.0**digits


def test_the_tolerance_does_not_depend_on_the_number_of_classes_and_is_tight():
    """Whole percents: overall may lie 1.005 above and 0.51 below the mean, and no more."""
    for classes in (2, 10, 1000):
        table = ClassAccuracies("table", (0.5,) * classes, 0.51, (10,) * classes, 0.01, 0.0001)
        for overall, flawed in ((0.5100, 0), (0.5101, 1), (0.4950, 0), (0.4949, 0), (0.4948, 1)):
            found = audit(Protocol(class_accuracies=(replace(table, overall=overall),)))
            assert len(found) == flawed, (classes, overall)


def test_unbalanced_classes_are_weighted_by_their_images():
    table = ClassAccuracies("table", (1.0, 0.0), 0.9, (90, 10))
    assert audit(Protocol(class_accuracies=(table,))) == []
    (found,) = audit(Protocol(class_accuracies=(replace(table, images=(50, 50)),)))
    assert "average 50.00 %" in found.sentence


def test_copies_are_judged_by_what_they_can_change():
    """At 50 % of 10,000 images, Wilson's interval reaches 0.98 points to either side."""
    crossing = replace(CLEAN, exact_duplicates=40, exact_duplicates_in_test=97)
    assert severities(crossing) == {"duplicates-across-splits": "weakens"}
    (found,) = audit(replace(crossing, exact_duplicates_in_test=99))
    assert found.severity == "invalidates"
    assert "99 of 10,000 test images" in found.sentence
    assert "by up to 0.99 points" in found.sentence
    (found,) = audit(replace(CLEAN, near_duplicates=1, near_duplicates_in_test=1))
    assert found.sentence.startswith("1 pair of nearly identical images across splits: 1 of 10,000")


def test_without_a_choice_no_validation_split_is_only_worth_a_note():
    fixed = replace(CLEAN, validation_images=0, epoch_chosen_on="nothing", configurations=1)
    assert severities(fixed) == {"no-validation-split": "note"}


def test_later_facts_take_the_place_of_earlier_ones_with_their_sources():
    first = Protocol(dropout_active=False, seeds=3, sources={"dropout_active": "model.json", "seeds": "config.yaml"})
    second = Protocol(dropout_active=True, sources={"seeds": "nowhere"})
    whole = combined(first, second)
    assert (whole.dropout_active, whole.seeds) == (True, 3)
    assert whole.sources == {"seeds": "config.yaml"}
    assert known(second) == {"dropout_active": True, "sources": {"seeds": "nowhere"}}
    json.dumps(known(CS7015))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seeds": -1}, "seeds is -1; expected a number of at least 0"),
        ({"epoch_chosen_on": "val"}, "epoch_chosen_on is 'val'; expected one of train, validation, test, nothing"),
        ({"result_split": "holdout"}, "result_split is 'holdout'; expected train, validation or test"),
        ({"accuracy": 87.5}, "accuracy is 87.5; expected a fraction from 0 to 1"),
        ({"sources": {"seed": "config.yaml"}}, "a source for 'seed'; expected the name of a fact"),
    ],
)
def test_impossible_facts_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        Protocol(**wrong)


def test_impossible_class_tables_are_refused():
    with pytest.raises(InputError, match=r"table: images \(5,\) for 2 class accuracies"):
        ClassAccuracies("table", (0.5, 0.5), 0.5, (5,))


# --- facts of run folders ---------------------------------------------------------------------------------------------

CONFUSION = [[3, 1], [2, 4]]  # 7 of 10 right; recalls 3/4 and 4/6
NUMBERS = {
    "images": 10,
    "accuracy": 0.7,
    "accuracy_interval": [0.4, 0.9],
    "per_class": {"cat": {"recall": 0.75, "support": 4}, "dog": {"recall": 4 / 6, "support": 6}},
    "confusion": CONFUSION,
}
RECORD = Record(
    Path("runs/x"),
    config={"seed": 3, "train.monitor": "val_accuracy", "data.augment.name": "cs7015"},
    history=({"epoch": 1, "val_accuracy": 0.5, "val_loss": 1.0}, {"epoch": 2, "val_accuracy": 0.6, "val_loss": 1.5}),
    metrics={"split": "test", "best_epoch": 2, "chosen_by": "val_accuracy"} | NUMBERS | {"validation": NUMBERS},
    split={
        "counts": {"train": 30, "validation": 10, "test": 10},
        "disjoint_by_id": True,
        "disjoint_by_pixels": True,
        "duplicates": {"sets": 0, "images": 0, "sets_across_splits": 0, "listed": []},
        "near_duplicates": {"rule": "close", "pairs": 0, "pairs_across_splits": 0, "listed": []},
    },
    model={"layers": [{"type": "InputLayer"}, {"type": "Conv2D"}, {"type": "Dense"}]},
    test_readings=({"date": "2026-01-02", "command": "python train.py"},),
)


def with_split(**changes) -> Record:
    return replace(RECORD, split=RECORD.split | changes)


def test_facts_of_a_record():
    facts = facts_of(RECORD)
    assert (facts.train_images, facts.validation_images, facts.test_images) == (30, 10, 10)
    assert (facts.epochs, facts.epoch_chosen_on, facts.result_split, facts.seeds) == (2, "validation", "test", 1)
    assert facts.configuration_chosen_on is None  # one folder cannot know
    assert (facts.accuracy, facts.has_interval, facts.test_readings) == (0.7, True, 1)
    assert (facts.dropout_active, facts.batch_norm_training) == (False, False)  # there is no such layer
    assert facts.output_activation is None
    assert [table.images for table in facts.class_accuracies] == [(4, 6), (4, 6)]
    assert severities(facts) == {"one-seed": "note"}
    assert "metrics.json: chosen_by = val_accuracy" in " ".join(only(passed(facts), "epoch-chosen-on-test").evidence)
    assert "2026-01-02" in " ".join(only(passed(facts), "test-split-read-again").evidence)


def test_seeds_of_the_repeats_are_counted():
    facts = facts_of(RECORD, seeds=(3, 1, 2, 3))
    assert facts.seeds == 3
    assert "seed = 1, 2, 3" in facts.sources["seeds"]
    assert audit(facts) == []


def test_layers_that_could_be_in_training_mode_leave_the_mode_unknown():
    layers = [{"type": "BatchNormalization"}, {"type": "SpatialDropout2D"}, {"type": "Dense"}]
    facts = facts_of(replace(RECORD, model={"layers": layers}))
    assert (facts.dropout_active, facts.batch_norm_training) == (None, None)


def test_what_was_measured_on_the_model_is_read_back():
    measured = Protocol(
        dropout_active=True, fixed_training_mode="none", output_activation="relu", sources={"dropout_active": "3 apart"}
    )
    stored = {"test": NUMBERS | {"protocol": json.loads(json.dumps(known(measured)))}}
    facts = facts_of(replace(RECORD, evaluations=stored))
    assert (facts.dropout_active, facts.batch_norm_training, facts.output_activation) == (True, False, "relu")
    assert facts.sources["dropout_active"] == "evaluations/test/metrics.json: protocol; 3 apart"
    assert severities(facts) == {
        "one-seed": "note",
        "dropout-while-evaluating": "weakens",
        "activation-on-logits": "weakens",
    }
    refused = facts_of(replace(RECORD, evaluations={"test": {"protocol": {"not_measured": "why"}}}))
    assert refused.output_activation is None


def test_numbers_at_odds_in_a_run_folder_are_found():
    wrong = NUMBERS | {"accuracy": 0.8}
    facts = facts_of(replace(RECORD, evaluations={"test": wrong}))
    found = [finding.flaw for finding in audit(facts)]
    assert found == ["class-average-contradicts-overall", "quoted-number-contradicted", "one-seed"]
    assert "(evaluations/test/metrics.json)" in audit(facts)[1].sentence
    first = facts_of(replace(RECORD, metrics=RECORD.metrics | {"best_epoch": 1}))
    assert audit(first)[0].sentence == (
        "The best val_accuracy of history.csv, in epoch 1 (metrics.json) is quoted as 0.5, but its own data give 0.6."
    )
    by_loss = RECORD.metrics | {"best_epoch": 1, "chosen_by": "val_loss"}
    assert severities(facts_of(replace(RECORD, metrics=by_loss))) == {"one-seed": "note"}


def test_duplicates_across_splits_are_counted_by_their_test_images():
    sets = [
        [["train", "a"], ["test", "b"], ["test", "c"]],
        [["validation", "d"], ["train", "e"]],
        [["train", "f"], ["train", "g"]],
    ]
    pairs = [
        [["train", "a"], ["test", "h"], 1],
        [["validation", "d"], ["test", "h"], 2],
        [["test", "i"], ["test", "j"], 0],
    ]
    record = with_split(
        disjoint_by_pixels=False,
        duplicates={"sets": 3, "images": 7, "sets_across_splits": 2, "listed": sets},
        near_duplicates={"rule": "close", "pairs": 3, "pairs_across_splits": 2, "listed": pairs},
    )
    facts = facts_of(record)
    assert (facts.exact_duplicates, facts.exact_duplicates_in_test) == (2, 2)
    assert (facts.near_duplicates, facts.near_duplicates_in_test) == (2, 1)
    assert "a (train) = b (test) = c (test)" in facts.sources["exact_duplicates"]
    assert "rule: close" in facts.sources["near_duplicates"]
    cut_short = with_split(duplicates={"sets": 200, "images": 400, "sets_across_splits": 150, "listed": sets})
    assert (facts_of(cut_short).exact_duplicates, facts_of(cut_short).exact_duplicates_in_test) == (150, None)
    huge = [[["train", str(i)] for i in range(99)] + [["test", "x"]]]
    one_set = with_split(duplicates={"sets": 1, "images": 5000, "sets_across_splits": 1, "listed": huge})
    assert facts_of(one_set).exact_duplicates_in_test is None


@pytest.mark.parametrize(
    ("across", "in_test", "severity"),
    [(0, 0, "passed"), (2, 0, "note"), (2, 1, "weakens"), (2, 9, "invalidates")],  # of 10 test images, 0.6 right
)
def test_groups_across_splits_are_judged_by_their_test_images(across, in_test, severity):
    groups = {"groups": 5, "largest": 4, "across_splits": across, "test_images_of_groups_elsewhere": in_test}
    facts = facts_of(with_split(groups=groups))
    found = {finding.flaw: finding.severity for finding in (*audit(facts), *passed(facts))}
    assert found["groups-across-splits"] == severity
    assert "groups-across-splits" in {finding.flaw for finding in unknown(facts_of(RECORD))}


def test_a_split_record_without_pixels_is_a_check_by_ids_only():
    without = {k: v for k, v in RECORD.split.items() if "duplicates" not in k} | {"disjoint_by_pixels": None}
    facts = facts_of(replace(RECORD, split=without))
    assert severities(facts) == {"one-seed": "note", "split-compared-by-id-only": "weakens"}
    assert {f.flaw for f in unknown(facts)} >= {"duplicates-across-splits", "near-duplicates-across-splits"}


def test_an_unfinished_run_is_judged_by_what_it_has():
    facts = facts_of(replace(RECORD, metrics={}, test_readings=(), model={}, split={}))
    assert (facts.epoch_chosen_on, facts.test_readings, facts.result_split) == ("validation", 0, None)
    assert severities(facts) == {"one-seed": "note"}
    assert facts_of(Record(Path("runs/x"))).epochs is None
    assert facts_of(replace(RECORD, test_readings=())).test_readings is None  # finished, so there was one at least


DAMAGED = ("text", 3, -1, float("nan"), None, True, [], [3], [["a"]], [[["train", 1], ["test"]]], {}, {"cat": 1})


@pytest.mark.parametrize("damaged", DAMAGED, ids=str)
@pytest.mark.parametrize(
    "name", ["per_class", "confusion", "accuracy", "best_epoch", "chosen_by", "split", "validation", "images"]
)
def test_damaged_metrics_leave_facts_unknown(name, damaged):
    found = {f.flaw for f in audit(facts_of(replace(RECORD, metrics=RECORD.metrics | {name: damaged})))}
    contradicted = {"class-average-contradicts-overall", "quoted-number-contradicted"}
    impossible = name == "accuracy" and damaged in (3, -1) and damaged is not True  # the confusion matrix knows better
    assert found == ({"one-seed"} | (contradicted if impossible else set()))


@pytest.mark.parametrize("damaged", DAMAGED, ids=str)
@pytest.mark.parametrize("name", ["counts", "duplicates", "near_duplicates", "disjoint_by_id"])
def test_damaged_splits_leave_facts_unknown(name, damaged):
    assert set(severities(facts_of(with_split(**{name: damaged})))) == {"one-seed"}
    inside = {"sets_across_splits": 1, "pairs_across_splits": 1, "listed": damaged}
    if name.endswith("duplicates"):
        assert (
            severities(facts_of(with_split(**{name: inside})))[f"{name.replace('_', '-')}-across-splits"] == "weakens"
        )


@pytest.mark.parametrize("damaged", DAMAGED, ids=str)
def test_damaged_models_and_evaluations_leave_facts_unknown(damaged):
    record = replace(RECORD, model={"layers": damaged}, evaluations={"test": {"protocol": damaged}})
    facts = facts_of(record)
    assert (facts.dropout_active, facts.output_activation) == (None, None)
    assert set(severities(facts)) == {"one-seed"}


def test_a_real_run_with_planted_copies(tmp_path, train_several):
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (90, 4, 4, 3), np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    labels = np.arange(90) % 3
    test, test_labels = coarse[60:].copy(), labels[60:]
    test[:2] = coarse[:2]  # identical to training or validation images, of the same classes
    test[4] = np.clip(coarse[4].astype(int) + 1, 0, 255)  # one grey level brighter
    np.savez(tmp_path / "planted.npz", x_train=coarse[:60], y_train=labels[:60], x_test=test, y_test=test_labels)
    words = ["--data.source", f"npz:{tmp_path / 'planted.npz'}", "--run-dir", "run", "--tracking.wandb", "off"]
    words += ["--train.epochs", "2", "--data.cache_dir", str(tmp_path / "cache"), "--model.name", "lenet"]
    no_figures = "from keras_cnn.tensorflow_import import import_tensorflow\nimport_tensorflow()\n"
    no_figures += "from keras_cnn.tasks.classification import results\n"
    no_figures += "results.draw_figures = results.draw_augmentation = lambda *_: None"
    answer = train_several(tmp_path, {"run": words}, no_figures)["run"]
    assert answer["status"] == 0, answer["err"]
    facts = facts_of(read_record(tmp_path / "run"))
    assert (facts.exact_duplicates, facts.exact_duplicates_in_test) == (2, 2)
    assert (facts.near_duplicates, facts.near_duplicates_in_test) == (1, 1)
    assert (facts.test_images, facts.epochs, facts.test_readings, facts.result_split) == (30, 2, 1, "test")
    assert len(facts.class_accuracies) == 3
    assert facts.class_accuracies[0].images == (10, 10, 10)
    assert len(facts.quoted) == 4
    assert severities(facts) == {
        "duplicates-across-splits": "weakens",  # 2 of 30 are less than the interval of 30 images
        "near-duplicates-across-splits": "weakens",
        "one-seed": "note",
    }


def test_reading_facts_needs_no_tensorflow():
    code = "import sys, keras_cnn.evaluation.protocol; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# --- the publications themselves --------------------------------------------------------------------------------------


def flaws_in(value) -> list[str]:
    """Every `flaw` and every item of `flaws`, at any depth."""
    if isinstance(value, list):
        return [flaw for item in value for flaw in flaws_in(item)]
    if not isinstance(value, dict):
        return []
    own = [value["flaw"]] if "flaw" in value else []
    return own + list(value.get("flaws", [])) + [flaw for item in value.values() for flaw in flaws_in(item)]


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason=f"the publications are not at {PUBLISHED}")
def test_every_published_flaw_has_a_case():
    contents = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(PUBLISHED.glob("*.yaml"))}
    published = {(name, flaw) for name, content in contents.items() for flaw in flaws_in(content)}
    assert len(published) >= 7
    assert published == {(name, flaw) for name, flaw, *_ in CASES if flaw}
    ablation = contents["cs7015"]["ablation"]
    for column, table in enumerate(CS7015_TABLES):
        assert [ablation[name][column] for name in CS7015_CLASSES] == [round(100 * a) for a in table.accuracies]
        assert ablation["overall"][column] == pytest.approx(100 * table.overall)
    fields_ = contents["cs7015"]["receptive_field"]
    assert [fields_["printed"], fields_["exact"]] == [
        [q.quoted for q in RECEPTIVE_FIELDS],
        [q.recomputed for q in RECEPTIVE_FIELDS],
    ]
    lenet = contents["tdt4265"]["lenet"]
    assert (lenet["printed_total"], sum(lenet["layer_parameters"]) + 10) == (390_400, 390_410)
    full = contents["comp5623"]["regimes"]["full"]
    assert (full["printed_optimum"], full["best_validation_loss"]["epoch"]) == (10, 3)
    table = contents["cs6910"]["part_b"]["tables"]["feature_extract"]
    assert [table[k][0] for k in ("resnet50_false", "resnet50_true")] == [4.798, 2.657]
    assert [table[k][0] for k in ("inceptionv3_false", "inceptionv3_true")] == [6.743, 3.225]
