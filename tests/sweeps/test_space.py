"""Sweep files against W&B's rules, SciPy's distributions and the published grids."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats

from keras_cnn import config, models
from keras_cnn.errors import InputError
from keras_cnn.loading import BUILDERS
from keras_cnn.sweeps import space, sweep_file
from keras_cnn.sweeps.hyperband import Hyperband, rungs, should_stop
from keras_cnn.sweeps.sampler import Sampler

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "sweeps"
FILES = sorted(FOLDER.glob("*.yaml"))
LR = "optim.learning_rate"


@pytest.fixture
def read(tmp_path):
    def write_and_read(text):
        path = tmp_path / "sweep.yaml"
        path.write_text(text)
        return sweep_file.read_sweep(path)

    return write_and_read


@pytest.fixture
def distribution(read):
    """The Distribution of a parameter given as W&B's mapping."""

    def of(**keys):
        return read(yaml.safe_dump({"method": "random", "parameters": {LR: keys}})).parameters[LR]

    return of


# --- distributions ----------------------------------------------------------------------------------------------------

CONTINUOUS = [  # W&B's keys, and SciPy's distribution of the same law
    ({"min": -2.0, "max": 7}, stats.uniform(-2, 9)),
    ({"distribution": "uniform", "min": 1, "max": 7}, stats.uniform(1, 6)),
    ({"distribution": "log_uniform", "min": -5, "max": 2}, stats.loguniform(math.exp(-5), math.exp(2))),
    ({"distribution": "log_uniform_values", "min": 1e-5, "max": 0.1}, stats.loguniform(1e-5, 0.1)),
    ({"distribution": "inv_log_uniform", "min": 1, "max": 5}, stats.loguniform(math.exp(-5), math.exp(-1))),
    ({"distribution": "inv_log_uniform_values", "min": 0.01, "max": 5}, stats.loguniform(0.01, 5)),
    ({"distribution": "normal"}, stats.norm()),
    ({"distribution": "normal", "mu": 3, "sigma": 2}, stats.norm(3, 2)),
    ({"distribution": "log_normal", "mu": 1, "sigma": 0.5}, stats.lognorm(0.5, scale=math.e)),
    ({"distribution": "beta"}, stats.uniform()),
    ({"distribution": "beta", "a": 2, "b": 5}, stats.beta(2, 5)),
    ({"distribution": "beta", "a": 0.5, "b": 0.3}, stats.beta(0.5, 0.3)),
    ({"distribution": "beta", "a": 800, "b": 3}, stats.beta(800, 3)),
]
QUANTISED = [
    ({"distribution": "q_uniform", "min": 0.1, "max": 0.9, "q": 0.1}, stats.uniform(0.1, 0.8), 0.1),
    ({"distribution": "q_uniform", "min": 0, "max": 9}, stats.uniform(0, 9), 1),
    ({"distribution": "q_log_uniform", "min": 0, "max": 5, "q": 0.25}, stats.loguniform(1, math.exp(5)), 0.25),
    ({"distribution": "q_log_uniform_values", "min": 1, "max": 500, "q": 8}, stats.loguniform(1, 500), 8),
    ({"distribution": "q_normal", "mu": 3, "sigma": 2, "q": 0.5}, stats.norm(3, 2), 0.5),
    ({"distribution": "q_log_normal", "mu": 2, "sigma": 1, "q": 3}, stats.lognorm(1, scale=math.exp(2)), 3),
    ({"distribution": "q_beta", "a": 2, "b": 5, "q": 0.1}, stats.beta(2, 5), 0.1),
]
UNITS = np.concatenate([[1e-12, 1e-5], (np.arange(200) + 0.5) / 200, [1 - 1e-5, 1 - 1e-9]])


@pytest.mark.parametrize(("keys", "expected"), CONTINUOUS, ids=lambda k: str(k) if isinstance(k, dict) else "")
def test_quantiles_are_scipys(distribution, keys, expected):
    found = distribution(**keys)
    np.testing.assert_allclose([found.from_unit(u) for u in UNITS], expected.ppf(UNITS), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(("keys", "expected", "q"), QUANTISED, ids=lambda k: str(k) if isinstance(k, dict) else "")
def test_quantised_values_are_the_nearest_multiples(distribution, keys, expected, q):
    quantised = distribution(**keys)
    found = [quantised.from_unit(u) for u in UNITS]
    np.testing.assert_allclose(found, np.round(expected.ppf(UNITS) / q) * q, rtol=1e-12)
    assert {type(value) for value in found} == {int if q >= 1 else float}


def test_counted_values_have_half_open_steps(distribution):
    third = distribution(values=["a", "b", "c"])
    assert [third.from_unit(u) for u in (0.0, 0.3333, 0.3334, 0.6666, 0.6667, 1 - 2**-53)] == list("aabbcc")
    weighted = distribution(values=["a", "b", "c", "d"], probabilities=[0.25, 0, 0.75, 0])
    assert [weighted.from_unit(u) for u in (0.0, 0.2499, 0.25, 1 - 2**-53)] == list("aacc")
    dice = distribution(min=1, max=6)
    assert [dice.from_unit(u) for u in (0.0, 0.1666, 0.1667, 0.5, 1 - 2**-53)] == [1, 1, 2, 4, 6]
    assert distribution(value=0.5).from_unit(0.9) == 0.5
    near = distribution(values=["a", "b"], probabilities=[0.5, 0.50001])  # as W&B, which says 1 of it
    assert [near.from_unit(u) for u in (0.0, 0.49999, 0.5, 1 - 2**-53)] == list("aabb")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"values": [1, 2, 3, 4]}, {1: 0.25, 2: 0.25, 3: 0.25, 4: 0.25}),
        ({"values": [1, 2, 3], "probabilities": [0.6, 0.3, 0.1]}, {1: 0.6, 2: 0.3, 3: 0.1}),
        ({"min": -1, "max": 3}, dict.fromkeys(range(-1, 4), 0.2)),
        # Rounding to the nearest multiple leaves the two ends half a step each.
        ({"distribution": "q_uniform", "min": 0, "max": 4}, {0: 1 / 8, 1: 1 / 4, 2: 1 / 4, 3: 1 / 4, 4: 1 / 8}),
    ],
)
def test_frequencies_of_random_search(read, keys, expected):
    sweep = read(yaml.safe_dump({"method": "random", "parameters": {LR: keys}}))
    sampler = Sampler(sweep, 1)
    values, counts = np.unique([sampler.draw(n, []).assignment[LR] for n in range(1, 20_001)], return_counts=True)
    assert values.tolist() == list(expected)
    assert stats.chisquare(counts, 20_000 * np.array(list(expected.values()))).pvalue > 0.01


def test_extreme_draws_are_finite_and_others_refused(distribution):
    assert distribution(distribution="normal").from_unit(0.0) == pytest.approx(stats.norm.ppf(2**-54))
    assert math.isfinite(distribution(distribution="log_normal", sigma=1000).from_unit(1 - 2**-53))
    assert distribution(distribution="normal", mu=3, sigma=0).from_unit(0.7) == 3
    for u in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match="expected at least 0 and below 1"):
            distribution(min=0, max=1).from_unit(u)


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({"min": 1, "max": 7}, "int_uniform"),
        ({"min": 1, "max": 7.5}, "uniform"),
        ({"min": 1.0, "max": 7}, "uniform"),
        ({"min": 1, "max": 7, "distribution": "uniform"}, "uniform"),
        ({"values": [1]}, "categorical"),
        ({"values": [1], "probabilities": [1]}, "categorical_w_probabilities"),
        ({"value": None}, "constant"),
    ],
)
def test_distribution_is_inferred(distribution, keys, kind):
    assert distribution(**keys).kind == kind


def test_numbers_with_exponents_are_numbers(read):
    sweep = read("method: random\nparameters:\n  optim.learning_rate: {min: 1e-4, max: 1e-1}\n")
    assert sweep.parameters[LR].from_unit(0.5) == pytest.approx(0.05005)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("{}", r":3: parameters\.seed: found \{\}, expected value, values, min and max, or a distribution"),
        ("{min: 1}", r"found \{'min': 1\}, expected value, values"),
        ("{min: 2, max: 2}", "found min 2 and max 2, expected min below max"),
        ("{min: '1', max: 2}", r"parameters\.seed\.min: found '1', expected a number"),
        ("{min: 1, max: 2, q: 1}", r"parameters\.seed\.q: unknown field of int_uniform"),
        ("{distribution: int_uniform, min: 1.5, max: 2}", "found 1.5, expected a whole number"),
        ("{distribution: log_uniform_values, min: 0, max: 1}", "min: found 0.0, expected a number above 0"),
        ("{distribution: log_unifrom, min: 0, max: 1}", "did you mean log_uniform?"),
        ("{distribution: normal, sigma: -1}", "sigma: found -1.0, expected a number of at least 0"),
        ("{distribution: uniform, min: 1}", r"parameters\.seed\.max: not given; expected a number"),
        ("{values: []}", "expected at least one entry"),
        ("{value: 1, values: [1]}", "value: unknown field of categorical; did you mean values?"),
        ("{values: [1, 2], probabilities: [1]}", "2 values and 1 probabilities, expected one probability per value"),
        ("{values: [1, 2], probabilities: [0.5, 0.6]}", "their sum is 1.1, expected 1"),
        ("{values: [1, 2], probabilities: [0.5, 0.50002]}", "their sum is 1.00002, expected 1"),
        ("{values: [1, 2], probabilities: [-0.5, 1.5]}", "expected probabilities of at least 0"),
        ("{values: [1], probabilities: [1], distribution: categorical}", "probabilities: unknown field of categorical"),
        ("7", r"found 7, expected a section such as \{value: 7\}"),
        ("[7, 8]", r"found \[7, 8\], expected a section such as \{values: \[7, 8\]\}"),
        ("{value: 2020-01-02}", r"parameters\.seed: found a date or bytes; expected numbers, or text in quotes"),
        ("{min: 3, max: 2}", "found min 3 and max 2, expected min below max"),
        ("{max: 1}", r"found \{'max': 1\}, expected value, values"),
        ("{parameters: {1x: {value: 1}}}", r"parameters\.seed\.parameters\.1x: found '1x', expected letters, digits"),
        ("{parameters: {}}", r"parameters\.seed\.parameters: found \{\}, expected a section with one parameter"),
    ],
)
def test_parameters_that_wandb_refuses(read, parameter, message):
    with pytest.raises(InputError, match=message):
        read(f"method: random\nparameters:\n  seed: {parameter}\n")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "method: gird",
            r"sweep\.yaml:1: method: found 'gird', expected one of grid, random, bayes; did you mean grid",
        ),
        ("methode: grid", "methode: unknown field; did you mean method?"),
        ("name: x", "method: not given; expected grid, random or bayes"),
        ("method: bayes", "metric: not given; method: bayes needs"),
        ("method: grid\nrun_cap: 0", ":2: run_cap: found 0, expected a number of at least 1"),
        ("method: grid\nmetric: {name: loss, goal: minimise}", "found 'minimise', expected one of minimize, maximize"),
        ("method: grid\nmetric: {goal: minimize}", r"metric\.name: not given; expected text"),
        ("method: grid\nearly_terminate: {type: hyperband, min_iter: 3}", "metric: not given; early_terminate needs"),
        ("method: grid\nmetrics: [{name: a}, {name: b}]", ":2: metrics: needs a custom scheduler"),
        ("method: grid\nrepeats: 3", ":2: repeats: W&B has no such field; expected it below keras_cnn"),
        (
            "method: grid\nkeras_cnn: {repeat: 3}",
            r"keras_cnn\.repeat: unknown field of keras_cnn; did you mean repeats",
        ),
        ("method: grid\nkeras_cnn: {base: none.yaml}", r":2: keras_cnn\.base: no file .*none\.yaml"),
        ("method: grid\nkeras_cnn: {repeats: 2}", r"parameters\.seed: sets seed, as keras_cnn\.repeats does"),
        (
            "method: grid\nkeras_cnn: {names: {sed: seed}}",
            r"names\.sed: unknown field of the parameters; did you mean se",
        ),
        ("method: grid\nkeras_cnn: {names: {seed: learning_rate}}", "did you mean optim.learning_rate?"),
        ("method: grid\nkeras_cnn: 5", ":2: keras_cnn: found 5, expected a section with fields"),
        (
            "method: grid\nkeras_cnn: {names: 5}",
            r":2: keras_cnn\.names: found 5, expected parameters with their fields",
        ),
        ("method: grid\nkeras_cnn: {repeats: 0}", r"keras_cnn\.repeats: found 0, expected a number of at least 1"),
        ("method: grid\nscheduler: {}", ":2: scheduler: needs a custom scheduler of W&B"),
        ("- method: grid", "expected a sweep with method and parameters"),
    ],
)
def test_files_that_are_refused(read, lines, message):
    end = "" if lines[0] == "-" else "\nparameters: {seed: {values: [1, 2]}}\n"
    with pytest.raises(InputError, match=message):
        read(lines + end)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{type: hyperband}", "expected min_iter, or max_iter with s"),
        ("{type: hyperband, max_iter: 27}", r"early_terminate\.s: not given"),
        ("{type: hyperband, max_iter: 27, min_iter: 3}", r"early_terminate\.s: not given"),
        ("{type: hyperband, max_iter: 2, s: 2, eta: 3}", "max_iter 2, s 2, eta 3 give no bracket"),
        ("{type: hyperband, min_iter: 0}", "found 0, expected a number of at least 1"),
        ("{type: hyperband, min_iter: 1, eta: 1}", "found 1.0, expected a number above 1"),
        ("{type: envelope, min_iter: 1}", "found 'envelope', expected hyperband"),
        ("{min_iter: 1}", r"early_terminate\.type: not given"),
    ],
)
def test_early_termination_that_is_refused(read, section, message):
    with pytest.raises(InputError, match=message):
        read(f"method: grid\nmetric: {{name: loss}}\nparameters: {{seed: {{value: 1}}}}\nearly_terminate: {section}\n")


def test_a_sweep_keeps_what_its_file_says(read, tmp_path):
    text = "name: n\ndescription: d\nproject: p\nentity: e\nmethod: grid\nprogram: scripts/finetune.py\n"
    sweep = read(text + "parameters: {seed: {values: [1, 2]}}\n")
    assert (sweep.name, sweep.description, sweep.project, sweep.entity) == ("n", "d", "p", "e")
    assert (sweep.run_cap, sweep.base, sweep.repeats, sweep.order, sweep.names) == (None, None, 1, "given", {})
    assert (sweep.metric, sweep.metric_name, sweep.goal, sweep.sign) == (None, "val_accuracy", "maximize", 1)
    assert (sweep.folds, sweep.notes) == (0, ())
    own = "keras_cnn: {base: tdt4265_lenet, repeats: 2, order: random, names: {s: optim.momentum}}\n"
    sweep = read(f"method: grid\nmetric: {{name: val_loss}}\nparameters: {{s: {{values: [0, 0.5]}}}}\n{own}")
    assert (sweep.repeats, sweep.order, sweep.names) == (2, "random", {"s": "optim.momentum"})
    assert (sweep.base.name, sweep.sign, sweep.metric_name) == ("tdt4265_lenet.yaml", -1, "val_loss")
    assert yaml.safe_load(sweep_file.standalone(sweep)) == {
        "method": "grid", "metric": {"name": "val_loss"}, "parameters": {"s": {"values": [0, 0.5]}},
        "keras_cnn": {"base": "base.yaml", "repeats": 2, "order": "random", "names": {"s": "optim.momentum"}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "method", "count"),
    [("['1/3', '2/3', '3/3']", "grid", 3), ("['1/3', '3/3', '2/3']", "grid", 0), ("['1/3', '2/3']", "grid", 0),
     ("['1/3', '2/3', '3/3']", "random", 0)],
)  # fmt: skip
def test_a_grid_of_all_folds_in_order_is_a_cross_validation(read, values, method, count):
    assert read(f"method: {method}\nparameters: {{data.fold: {{values: {values}}}}}\n").folds == count
    more = f"method: {method}\nparameters: {{data.fold: {{values: {values}}}, seed: {{value: 1}}}}\n"
    assert read(more).folds == 0


def test_bayes_needs_something_to_search(read):
    with pytest.raises(InputError, match="all constant"):
        read("method: bayes\nmetric: {name: val_loss}\nparameters: {seed: {value: 1}}\n")


@pytest.mark.parametrize(
    "parameter",
    [
        "{min: 0.1, max: 1}",
        "{distribution: normal}",
        "{values: [1, 2], probabilities: [0.5, 0.5]}",
        "{min: 0, max: 10000000}",
        "{distribution: q_uniform, min: 0, max: 1, q: 1.0e-9}",
    ],
)
def test_what_cannot_be_gridded_is_named(read, parameter):
    with pytest.raises(InputError, match=r"sweep\.yaml:3: parameters\.optim\.learning_rate: "):
        read(f"method: grid\nparameters:\n  optim.learning_rate: {parameter}\n")


def test_a_parameter_and_its_field_have_one_master(read):
    with pytest.raises(InputError, match=r"parameters\.optim\.momentum: given twice, dotted and nested"):
        read("method: grid\nparameters: {optim.momentum: {value: 0}, optim: {parameters: {momentum: {value: 0}}}}\n")
    with pytest.raises(InputError, match=r":2: parameters\.optim\.momentum: sets optim\.momentum, as m does"):
        read(
            "method: grid\nparameters: {m: {value: 0}, optim.momentum: {value: 0}}\n"
            "keras_cnn: {names: {m: optim.momentum}}\n"
        )
    with pytest.raises(InputError, match=r"'lr' is no field of a config.*keras_cnn\.names"):
        read("method: grid\nparameters: {lr: {value: 0.1}}\n")


# --- grid and overrides -----------------------------------------------------------------------------------------------


def test_grid_goes_by_name_with_the_last_fastest(read):
    sweep = read("""
method: grid
parameters:
  train.epochs: {distribution: q_uniform, min: 2, max: 8, q: 3}
  optim:
    parameters:
      momentum: {values: [0.5, 0]}
      learning_rate: {value: 0.1}
  seed: {values: [1, 2, 2.0, 1]}
""")
    names = ["optim.learning_rate", "optim.momentum", "seed", "train.epochs"]
    expected = [(0.1, momentum, seed, epochs) for momentum in (0.5, 0) for seed in (1, 2) for epochs in (2, 5)]
    assert [tuple(cell.values()) for cell in space.cells(sweep)] == expected
    assert all(list(cell) == names for cell in space.cells(sweep))


def test_a_grid_of_many_cells_is_refused_before_it_fills_the_memory(read):
    rows = "".join(f"  model.p{i}: {{min: 1, max: 100}}\n" for i in range(6))
    with pytest.raises(InputError, match="1000000000000 cells, expected at most 1000000"):
        space.cells(read(f"method: grid\nparameters:\n{rows}"))


def test_values_reach_the_config_as_they_are(read):
    sweep = read("""
method: random
parameters:
  name: {value: a b}
  model: {value: imagenet10}
  model.dropout: {values: [[0.1, 0.2, 0.3]]}
  optim.clip_norm: {value: null}
  optim.nesterov: {value: true}
  optim.learning_rate: {value: 1e-7}
  jitter: {values: [weak, strong]}
keras_cnn:
  names:
    jitter:
      weak: {}
      strong: {data.augment: {name: light, rotation: 30}, train.label_smoothing: 0.1}
""")
    assignment = Sampler(sweep, 0).draw(1, []).assignment | {"jitter": "strong"}
    found = config.load(None, space.overrides(sweep, assignment), BUILDERS)
    assert (found.name, found.model.name, found.model.options["dropout"]) == ("a b", "imagenet10", (0.1, 0.2, 0.3))
    assert (found.optim.clip_norm, found.optim.nesterov, found.optim.learning_rate) == (None, True, 1e-7)
    assert (found.data.augment.name, found.data.augment.options["rotation"]) == ("light", 30)
    assert found.train.label_smoothing == 0.1
    plain = config.load(None, space.overrides(sweep, assignment | {"jitter": "weak"}), BUILDERS)
    assert (plain.data.augment.name, plain.train.label_smoothing) == ("none", 0)
    with pytest.raises(InputError, match=r"names\.jitter: no row for medium"):
        space.overrides(sweep, assignment | {"jitter": "medium"})
    with pytest.raises(InputError, match="jitter: expected one value for each parameter"):
        space.overrides(sweep, {name: value for name, value in assignment.items() if name != "jitter"})


@pytest.mark.parametrize(
    ("parameter", "table", "message"),
    [
        ("{values: [true, false]}", "{true: {}}", "no row for false; expected one per value"),
        ("{values: [1, 2]}", "{1: {}, 2: {}, 3: {}}", r"names\.p\.3: no value of p; expected one of 1, 2"),
        ("{values: [1, 2]}", "{1: {}, 2: 5}", r"names\.p\.2: found 5, expected fields with their values"),
        ("{values: [1, 2]}", "{1: {}, 2: {lerning_rate: 1}}", "'lerning_rate' is no field of a config; did you mean"),
        ("{min: 0.5, max: 2}", "{1: {}}", "uniform has no list of values"),
    ],
)
def test_tables_of_values_are_checked(read, parameter, table, message):
    with pytest.raises(InputError, match=message):
        read(f"method: random\nparameters: {{p: {parameter}}}\nkeras_cnn: {{names: {{p: {table}}}}}\n")


def test_what_is_not_honoured_is_said(read):
    sweep = read("""
method: random
program: other.py
command: [python, "${program}", "${args}"]
project: p
metric: {name: val_loss, impute: best}
early_terminate: {type: hyperband, min_iter: 3}
parameters:
  optim.learning_rate: {distribution: log_uniform, min: 0.001, max: 0.1}
""")
    said = "\n".join(sweep.notes)
    for words in (
        ":4: command: is not run",
        ":3: program: other.py is not started",
        "metric.goal: not given; val_loss is minimized",
        "metric.impute:",
        "early_terminate.strict: not given; true",
        "values lie from 1.001 to 1.105; log_uniform_values takes the limits",
        "run_cap: not given; the sweep goes on until it is stopped",
    ):
        assert words in said
    assert len(sweep.notes) == 7
    assert (sweep.project, sweep.metric.goal, sweep.early_terminate.strict) == ("p", "minimize", True)
    (only,) = read("""
method: random
run_cap: 3
program: train.py
metric: {name: val_loss, goal: minimize}
early_terminate: {type: hyperband, min_iter: 3, max_iter: 27, s: 2, strict: false}
parameters: {optim.learning_rate: {distribution: log_uniform_values, min: 0.001, max: 0.1}}
""").notes
    assert only.endswith(":6: early_terminate.min_iter: not used, as by W&B; max_iter is given")
    assert read("method: grid\nparameters: {seed: {values: [1, 2]}}\n").notes == ()


# --- early termination ------------------------------------------------------------------------------------------------


def hyperband(**settings):
    return Hyperband(type="hyperband", **settings)


def test_rungs_are_those_of_wandbs_documentation():
    assert rungs(hyperband(min_iter=3))[:4] == [3, 9, 27, 81]
    assert rungs(hyperband(max_iter=27, s=2)) == [3, 9]
    assert rungs(hyperband(max_iter=27, s=9)) == [1, 3, 9]
    assert rungs(hyperband(max_iter=10, s=3, eta=2)) == [1, 2, 5]
    assert rungs(hyperband(max_iter=27, s=0)) == rungs(hyperband(max_iter=27)) == []
    assert rungs(hyperband(max_iter=3, s=1)) == [1]
    assert rungs(hyperband(eta=2)) == [2**k for k in range(53)]
    assert rungs(hyperband(min_iter=1, eta=1.1))[-1] == int(1.1**99)  # a hundred of them, some the same
    assert rungs(hyperband(min_iter=2, eta=1.5))[:5] == [2, 3, 4, 6, 10]  # 2, 3, 4.5, 6.75, 10.125


def stopped(settings, histories, goal="minimize"):
    return [
        name
        for name, history in histories.items()
        if should_stop(settings, goal, history, [h for other, h in histories.items() if other != name])
    ]


def test_runs_stop_by_the_rule_of_the_rung():
    # Rungs 1 and 2. At 2 the values are 6 7 8 9 10, and with eta 2 the int(5 / 2) + 1 = 3 best go on.
    losses = {"a": [10, 9], "b": [10, 10], "c": [10, 8, 8], "d": [10, 7, 7], "e": [10, 6, 6]}
    assert stopped(hyperband(max_iter=5, s=2, eta=2), losses) == ["a", "b"]
    accuracies = {name: [1 - loss / 100 for loss in history] for name, history in losses.items()}
    assert stopped(hyperband(max_iter=5, s=2, eta=2), accuracies, "maximize") == ["a", "b"]
    # Of three with eta 3 the best int(1) + 1 = 2 go on; of two, int(2 / 3) + 1 = 1.
    assert stopped(hyperband(min_iter=1), {"a": [3], "b": [2], "c": [1]}) == ["a"]
    assert stopped(hyperband(min_iter=1), {"a": [3], "b": [2]}) == ["a"]
    assert stopped(hyperband(min_iter=1), {"a": [3], "b": [3]}) == []


def test_the_first_run_at_a_rung_passes_and_waits_there_for_better_ones():
    settings = hyperband(min_iter=2)
    assert stopped(settings, {"first": [9, 9], "other": [1]}) == []
    assert stopped(settings, {"first": [9, 9, 0.1], "other": [1, 1]}) == ["first"]
    assert stopped(settings, {"first": [9], "other": [1, 1]}) == []


def test_without_strict_the_best_value_so_far_counts():
    losses = {"a": [1, 9], "b": [5, 5], "c": [4, 4]}
    assert stopped(hyperband(min_iter=2), losses) == ["a"]
    assert stopped(hyperband(min_iter=2, strict=False), losses) == []
    losses["a"] = [9, 9, 1]  # better only after the rung
    assert stopped(hyperband(min_iter=2), losses) == ["a"]
    assert stopped(hyperband(min_iter=2, strict=False), losses) == []


def test_values_that_are_not_finite_do_not_count_as_iterations():
    assert stopped(hyperband(min_iter=2), {"a": [math.nan, 9], "b": [1, 1]}) == []
    assert stopped(hyperband(min_iter=2), {"a": [math.nan, 9, 9], "b": [1, 1]}) == ["a"]


# --- the files of the repository --------------------------------------------------------------------------------------

TRIALS = {"cs7015_first": 6, "cs7015_net1": 24, "cs7015_net2": 9, "cs7015_net3": 9, "cs7015_net4": 2}
TRIALS |= {"in4310": 2 * 2, "tdt4265": 2 * 6}


def load(sweep, assignment):
    return config.load(sweep.base, space.overrides(sweep, assignment), BUILDERS)


def trainable(found):
    model = models.build(found.model.name, (32, 32, 3), 10, **found.model.options)
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_sweep_opens_with_its_command_and_number_of_trials(path):
    sweep = sweep_file.read_sweep(path)
    trials = sweep.run_cap or len(space.cells(sweep)) * sweep.repeats
    command, *rest = path.read_text().split("program:")[0].splitlines()
    assert command == f"# python train.py --sweep configs/sweeps/{path.name}"
    assert f": {trials} trials" in " ".join(rest)
    assert sweep.notes == ()
    assert sweep.metric == space.Metric(name="val_accuracy", goal="maximize")
    assert "keras_cnn" not in sweep.definition


def test_every_file_is_tested():
    assert {path.stem for path in FILES} == {*TRIALS, "cs6910", "quick"}


@pytest.mark.parametrize("name", TRIALS)
def test_every_cell_of_a_published_grid_loads(name):
    sweep = sweep_file.read_sweep(FOLDER / f"{name}.yaml")
    found = [load(sweep, cell) for cell in space.cells(sweep)]
    assert len({config.dump(cell) for cell in found}) == len(found) == TRIALS[name]
    if name.startswith("cs7015"):
        assert {cell.data.source for cell in found} == {"tfds:cifar10"}
        assert {(cell.optim.optimizer, cell.optim.momentum) for cell in found} == {("sgd", 0.9)}


def test_first_grid_trains_the_network_of_the_tutorial():
    sweep = sweep_file.read_sweep(FOLDER / "cs7015_first.yaml")
    found = [load(sweep, cell) for cell in space.cells(sweep)]
    assert {(cell.optim.learning_rate, cell.train.batch_size) for cell in found} == {
        (rate, batch) for rate in (0.01, 0.001) for batch in (128, 256, 512)
    }
    assert {(cell.train.epochs, cell.published) for cell in found} == {(10, "cs7015/first")}
    convolutions, dense = 6 * (3 * 25 + 1) + 16 * (6 * 25 + 1), 120 * (400 + 1) + 84 * (120 + 1) + 10 * (84 + 1)
    assert trainable(found[0]) == convolutions + dense == 62_006


def test_every_cell_of_net1_builds_and_the_best_has_the_published_weights():
    sweep = sweep_file.read_sweep(FOLDER / "cs7015_net1.yaml")
    counts = {tuple(cell.values()): trainable(load(sweep, cell)) for cell in space.cells(sweep)}
    assert list(sweep.parameters) == [
        "model.filter_multiplier",
        "model.kernel_size",
        "model.l1_oc",
        "model.stride",
    ]
    assert counts[2, 3, 18, 1] == 173_026


def test_net2_grid_has_the_published_mean_weights():
    sweep = sweep_file.read_sweep(FOLDER / "cs7015_net2.yaml")
    counts = [(cell, trainable(load(sweep, cell))) for cell in space.cells(sweep)]

    def means(factor):
        values = {cell[factor] for cell, _ in counts}
        return {value: round(np.mean([n for cell, n in counts if cell[factor] == value])) for value in values}

    assert means("model.l1_oc") == {18: 654_346, 32: 1_675_198, 64: 5_719_038}
    assert means("model.kernel_size") == {3: 2_011_954, 5: 2_248_274, 7: 3_788_354}


def test_net3_and_net4_grids_have_the_published_weights():
    net3 = sweep_file.read_sweep(FOLDER / "cs7015_net3.yaml")
    found = {cell["model.l1_oc"]: load(net3, cell) for cell in space.cells(net3)}
    assert {width: trainable(cell) for width, cell in found.items()} == {32: 1_506_430, 64: 3_775_870, 96: 6_819_454}
    net4 = sweep_file.read_sweep(FOLDER / "cs7015_net4.yaml")
    assert trainable(load(net4, space.cells(net4)[0])) == 4_403_518


def test_in4310_grid_is_both_optimizers_at_both_rates_on_the_printed_split():
    sweep = sweep_file.read_sweep(FOLDER / "in4310.yaml")
    found = [load(sweep, cell) for cell in space.cells(sweep)]
    assert {(cell.optim.optimizer, cell.optim.learning_rate) for cell in found} == {
        (name, rate) for name in ("sgd", "adam") for rate in (0.01, 0.001)
    }
    assert {cell.model.name for cell in found} == {"resnet18"}
    assert {(cell.seed, cell.train.batch_size) for cell in found} == {(42, 64)}
    data = found[0].data
    assert (data.per_class, data.validation, data.test) == (2500, 2700, 1500)
    assert 6 * data.per_class - data.validation - data.test == 10_800


def test_tdt4265_variants_change_one_thing_of_a_printed_model():
    sweep = sweep_file.read_sweep(FOLDER / "tdt4265.yaml")
    found = {(c["model.name"], c["variant"]): load(sweep, c) for c in space.cells(sweep)}
    weights = {key: trainable(cell) for key, cell in found.items()}
    for name, normalised in (("model1", 32 + 128 + 512 + 64), ("model2", 32 + 64 + 128 + 64)):
        printed = weights[name, "printed"]
        assert weights[name, "no_batch_norm"] == printed - 2 * normalised  # a scale and an offset for each channel
        assert {weights[name, other] for other in ("no_dropout", "dropout_0.3", "stride", "sgd")} == {printed}
        assert found[name, "dropout_0.3"].model.options["dropout"] == 0.3
        assert found[name, "stride"].model.options["downsampling"] == "stride"
        assert found[name, "sgd"].optim.optimizer == "sgd"
        assert {found[name, v].optim.optimizer for _, v in found if v != "sgd"} == {"adam"}
    assert {cell.train.epochs for cell in found.values()} == {10}


def test_cs6910_sweep_is_the_published_space():
    sweep = sweep_file.read_sweep(FOLDER / "cs6910.yaml")
    assert sweep.run_cap == 50  # "Run set 50"
    columns = {name: distribution.grid() for name, distribution in sweep.parameters.items()}
    assert math.prod(map(len, columns.values())) == 3 * 3 * 4 * 3 * 2 * 2 * 4 * 3 * 2 * 3 * 2 == 62_208
    sampler = Sampler(sweep, 0)
    draws = [sampler.draw(number, []).assignment for number in range(1, 61)]
    assert all(set(column) == {draw[name] for draw in draws} for name, column in columns.items())  # every value, once
    for draw in draws:  # parameters set different fields, so a value that loads once loads in every cell
        found = load(sweep, draw)
        assert found.data.augment.name == ("cs6910" if draw["data_augmentation"] else "none")
        assert (found.data.source, found.model.name, found.optim.optimizer) == ("fashion-mini", "five_block", "adam")
        assert found.optim.learning_rate == draw["lr"]
        assert (found.train.batch_size, found.train.epochs) == (draw["batch_size"], draw["epochs"])
        options = found.model.options
        assert (options["activation"], options["filters"]) == (draw["activation_fn"], draw["num_of_filters"])
        assert (options["kernel_size"], options["organisation"]) == (draw["filter_size"], draw["filter_organization"])
        assert (options["dropout"], options["dense"]) == (draw["dropout_ratio"], draw["dense_neuron_size"])
        assert options["batch_norm"] == draw["batch_norm"]


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_cs6910_cells_build_on_the_images_of_the_base(kernel):
    sweep = sweep_file.read_sweep(FOLDER / "cs6910.yaml")
    cell = Sampler(sweep, 0).draw(1, []).assignment
    found = load(sweep, cell | {"filter_size": kernel, "num_of_filters": 32, "filter_organization": 1})
    model = models.build(found.model.name, (28, 28, 1), 10, **found.model.options)
    assert model.output_shape == (None, 10)


def test_largest_cs6910_cell_has_the_weights_that_its_file_says():
    widths = [1, 256, 512, 1024, 2048, 4096]
    kernels = sum(49 * a * b for a, b in itertools.pairwise(widths))
    assert f"{round(kernels / 1e6)} million weights" in (FOLDER / "cs6910.yaml").read_text()
