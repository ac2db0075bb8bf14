import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keras_cnn.config import Choice, Config, DataConfig, dump
from keras_cnn.errors import InputError
from keras_cnn.evaluation import protocol
from keras_cnn.evaluation.repeats import SeedGroup, compare_recipes, facts_of_runs, left_out, rank_groups, sum_up
from keras_cnn.run_folder import write_json, write_text
from keras_cnn.run_folder.record import Record, read_record

CONFIG = {
    "name": "base",
    "seed": 1,
    "data.source": "fashion-mini",
    "data.cache": "auto",
    "data.cache_dir": None,
    "model.name": "net3",
    "train.epochs": 8,
    "train.checkpoint_minutes": 10.0,
    "tracking.wandb": "auto",
}


def run(seed: int, accuracy: float | None = 0.5, test=("a", "b"), **changes) -> Record:
    config = CONFIG | {"seed": seed} | {name.replace("__", "."): value for name, value in changes.items()}
    metrics = {} if accuracy is None else {"accuracy": accuracy}
    path = Path(f"runs/{config['name']}-{config['model.name']}-{seed}")
    return Record(path, config=config, metrics=metrics, split={"ids": {"test": list(test)}})


def group(label: str, values: dict[int, float], **changes) -> SeedGroup:
    (found,) = sum_up([run(seed, value, name=label, **changes) for seed, value in values.items()])
    return found


def test_runs_that_differ_only_in_seed_are_one_group_worked_out_by_hand():
    (found,) = sum_up([run(3, 0.74), run(1, 0.70), run(2, 0.72)])
    assert (found.n, found.seeds, found.values) == (3, (1, 2, 3), (0.70, 0.72, 0.74))
    assert found.mean == pytest.approx(0.72)
    assert found.std == pytest.approx(0.02)
    half = 4.302653 * 0.02 / math.sqrt(3)  # t of 2 degrees of freedom
    assert found.interval == pytest.approx((0.72 - half, 0.72 + half), abs=1e-8)
    assert [record.config["seed"] for record in found.records] == [1, 2, 3]
    assert found.label == "base"


def test_name_tracking_cache_and_checkpoints_are_set_aside_and_nothing_else():
    same = [
        run(1),
        run(2, name="other"),
        run(3, tracking__wandb="off"),
        run(4, data__cache="disk", data__cache_dir="/x"),
        run(5, train__checkpoint_minutes=1.0),
        run(6, tracking__group="sweep"),
    ]
    assert [found.n for found in sum_up(same)] == [6]
    others = [run(7, train__epochs=9), run(8, model__l1_oc=16), run(9, data__source="fashion-mnist")]
    assert [found.n for found in sum_up(same + others)] == [6, 1, 1, 1]
    whole = run(10)
    del whole.config["train.epochs"]  # of another version: not known to be the same
    assert [found.n for found in sum_up([*same, whole])] == [6, 1]


def test_a_single_run_has_neither_spread_nor_interval():
    (found,) = sum_up([run(1, 0.6)])
    assert (found.n, found.mean, found.std, found.interval) == (1, 0.6, None, None)


def test_all_right_and_all_wrong_are_accuracies_too():
    (found,) = sum_up([run(1, 0.0), run(2, 1.0), run(3, 1), run(4, 1.001), run(5, -0.001)])
    assert found.values == (0, 1, 1)


def test_no_runs_make_no_groups():
    assert sum_up([]) == []
    assert left_out([]) == ()


def test_what_cannot_count_is_left_out_and_named():
    again = replace(run(1, 0.9), path=Path("runs/again"))
    broken = replace(run(5), metrics={"loss": 0.1})
    blank = replace(run(6), config={}, path=Path("runs/blank"))
    records = [run(1, 0.7), again, run(2, None), broken, blank, run(7, math.nan), run(1, 0.8, model__name="net1")]
    assert [(found.seeds, found.values) for found in sum_up(records)] == [((1,), (0.7,)), ((1,), (0.8,))]
    assert left_out(records) == (
        "runs/again: the same recipe and seed as runs/base-net3-1, so not a repeat",
        "runs/base-net3-2: not finished, so it has no test accuracy",
        "runs/base-net3-5: accuracy in its metrics.json is None; expected a number from 0 to 1",
        "runs/blank: its config has no seed",
        "runs/base-net3-7: accuracy in its metrics.json is nan; expected a number from 0 to 1",
    )
    assert left_out([run(1), run(2)]) == ()


def test_labels_tell_the_groups_apart():
    by_name = [run(1, name="small"), run(2, name="small"), run(1, name="large", model__name="net4")]
    assert [found.label for found in sum_up(by_name)] == ["small", "large"]
    by_setting = [run(1), run(1, train__epochs=9), run(2, train__epochs=9), run(1, model__l1_oc=16)]
    assert [found.label for found in sum_up(by_setting)] == [
        "train.epochs 8, model.l1_oc -",
        "train.epochs 9, model.l1_oc -",
        "train.epochs 8, model.l1_oc 16",
    ]
    seeds_in_names = [run(1, name="run-1"), run(2, name="run-2")]
    assert [found.label for found in sum_up(seeds_in_names)] == ["run-1-net3-1"]


def test_groups_of_run_folders(tmp_path):
    records = []
    for seed in (1, 2):
        for rate in (0.1, 0.2):
            folder = tmp_path / f"{seed}-{rate}"
            folder.mkdir()
            model = Choice("net3", {"dropout_rate": rate})
            config = Config(
                name=f"d{rate}", seed=seed, model=model, data=DataConfig(cache="disk" if seed == 1 else "none")
            )
            write_text(folder / "config.yaml", dump(config))
            write_json(folder / "metrics.json", {"accuracy": 0.5 + rate + seed / 100})
            records.append(read_record(folder))
    found = sum_up(records)
    assert [(one.label, one.seeds, one.values) for one in found] == [
        ("d0.1", (1, 2), (pytest.approx(0.61), pytest.approx(0.62))),
        ("d0.2", (1, 2), (pytest.approx(0.71), pytest.approx(0.72))),
    ]


# --- two recipes ------------------------------------------------------------------------------------------------------


def test_six_pairs_worked_out_by_hand():
    a = group("A", dict.fromkeys(range(1, 7), 0.7))
    b = group("B", dict(zip(range(1, 7), (0.71, 0.72, 0.73, 0.71, 0.72, 0.73), strict=True)), model__name="net4")
    found = compare_recipes(a, b)
    assert found.seeds == (1, 2, 3, 4, 5, 6)
    assert found.differences == pytest.approx((0.01, 0.02, 0.03, 0.01, 0.02, 0.03))
    assert found.mean == pytest.approx(0.02)
    assert found.p == 2 / 64
    half = 2.570582 * math.sqrt(0.0004 / 5) / math.sqrt(6)  # t of 5 degrees of freedom; squares sum to 0.0004
    assert found.interval == pytest.approx((0.02 - half, 0.02 + half), abs=1e-8)
    assert found.unmatched == ()
    assert found.verdict == "B is better: B against A: +2.0 points [+1.1, +2.9], 6 paired seeds, sign-flip p = 0.031"
    back = compare_recipes(b, a)
    assert back.verdict == "B is better: A against B: -2.0 points [-2.9, -1.1], 6 paired seeds, sign-flip p = 0.031"


def test_comparison_equals_scipy_on_pairs():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.7, 0.01, 8), rng.normal(0.705, 0.01, 8)
    found = compare_recipes(group("A", dict(enumerate(first))), group("B", dict(enumerate(second)), model__name="m"))
    expected = stats.ttest_rel(second, first).confidence_interval(0.95)
    assert found.interval == pytest.approx((expected.low, expected.high), rel=1e-8)
    flips = stats.permutation_test((second - first,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert found.p == pytest.approx(flips.pvalue, rel=1e-12)


@pytest.mark.parametrize("pairs", [1, 2, 5])
def test_fewer_than_six_pairs_are_inconclusive_however_clear(pairs):
    a = group("A", dict.fromkeys(range(pairs), 0.1))
    b = group("B", {seed: 0.9 - seed / 1000 for seed in range(pairs)}, model__name="net4")
    found = compare_recipes(a, b)
    assert found.verdict.startswith("inconclusive: B against A: +")
    assert f"{pairs} paired seed" in found.verdict
    assert found.verdict.endswith("expected at least 6 pairs")
    assert (found.interval is None) == (pairs == 1)
    assert found.p == 2 / 2**pairs


def test_six_pairs_without_a_difference_show_none():
    a = group("A", dict.fromkeys(range(6), 0.7))
    b = group("B", {seed: 0.7 + (-1) ** seed / 100 for seed in range(6)}, model__name="net4")
    found = compare_recipes(a, b)
    assert found.p == 1
    assert found.verdict.startswith("no difference shown: B against A: ")
    assert "inconclusive" not in found.verdict


def test_seeds_are_paired_by_number_and_the_lonely_named():
    a, b = group("A", {1: 0.5, 2: 0.6, 9: 0.9}), group("B", {4: 0.1, 2: 0.8, 1: 0.6}, model__name="net4")
    found = compare_recipes(a, b)
    assert found.seeds == (1, 2)
    assert found.differences == pytest.approx((0.1, 0.2))
    assert found.unmatched == ("seed 9 of A", "seed 4 of B")


def test_no_seed_in_common_is_inconclusive():
    found = compare_recipes(group("A", {1: 0.5}), group("B", {2: 0.9}, model__name="net4"))
    assert (found.differences, found.mean, found.interval, found.p) == ((), None, None, None)
    assert found.verdict == "inconclusive: B and A have no seed in common; expected at least 6 pairs"


def test_pairs_tested_on_different_images_are_refused():
    a = group("A", {1: 0.5, 2: 0.6})
    b = group("B", {1: 0.5, 2: 0.6}, model__name="net4", test=("a", "c"))
    message = r"cannot pair runs/A-net3-1 and runs/B-net4-1 \(seed 1\): 2 test images are in one of them only; expected"
    with pytest.raises(InputError, match=message):
        compare_recipes(a, b)
    unknown = replace(b, records=tuple(replace(record, split={}) for record in b.records))
    assert compare_recipes(a, unknown).differences == (0, 0)


# --- side by side on the same test images -----------------------------------------------------------------------------


def measured(model: str, seed: int, test: float, validation: float | None, images=("a", "b")) -> Record:
    found = run(seed, test, images, model__name=model)
    return replace(found, metrics=found.metrics | ({"validation": {"accuracy": validation}} if validation else {}))


def quoted(records: list[Record]) -> dict[str, str | None]:
    """The severity of highest-test-accuracy-quoted of each run, None where there is no flaw."""
    found = {}
    for record, facts in zip(records, facts_of_runs(records, sum_up(records)), strict=True):
        flaws = {finding.flaw: finding.severity for finding in protocol.audit(facts)}
        found[record.path.name] = flaws.get("highest-test-accuracy-quoted")
    return found


def test_the_highest_test_accuracy_is_found_where_validation_chooses_another():
    runs = [measured("net1", 1, 0.70, 0.72), measured("net2", 1, 0.71, 0.69), measured("net3", 1, 0.60, 0.60)]
    assert quoted(runs) == {"base-net1-1": None, "base-net2-1": "weakens", "base-net3-1": None}
    assert [facts.tested for facts in rank_groups(sum_up(runs))] == [3, 3, 3]
    best = rank_groups(sum_up(runs))[1]
    assert (best.highest_on_test, best.highest_on_validation) == (True, False)
    assert "model.name net2 0.7100 (0.6900)" in best.sources["tested"]


def test_repeats_are_one_configuration_and_stand_with_their_means():
    """Seed 1 of net2 has the highest test accuracy of all, but the mean of net1 is higher on both."""
    runs = [measured("net1", seed, 0.70, 0.72) for seed in (1, 2)]
    runs += [measured("net2", 1, 0.75, 0.60), measured("net2", 2, 0.61, 0.60)]
    assert set(quoted(runs).values()) == {None}
    assert [facts.tested for facts in rank_groups(sum_up(runs))] == [2, 2]


@pytest.mark.parametrize(
    "other",
    [
        measured("net1", 2, 0.5, 0.9),  # the same recipe: no other configuration
        measured("net2", 1, 0.5, 0.9, images=("c", "d")),  # other test images
        measured("net2", 1, 0.5, 0.9, images=()),  # not on record
        measured("net2", 1, 0.5, None),  # its validation accuracy is not known
    ],
    ids=["seed", "images", "no record", "no validation"],
)
def test_a_run_is_not_blamed_for_what_cannot_be_chosen_among(other):
    runs = [measured("net1", 1, 0.7, 0.7), other]
    assert set(quoted(runs).values()) == {None}
