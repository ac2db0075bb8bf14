import functools
import time
import typing
from typing import Literal

import pytest

from keras_cnn import config
from keras_cnn.errors import InputError


def small(shape, classes, *, filters: int = 3, kernel: Literal[1, 3] = 3, rates: tuple[float, ...] = (0.1, 0.2)):
    """A builder.

    Options:
        filters: output channels
    """


def other(shape, classes, *, units: int):
    """Another builder."""


BUILDERS = {"model": {"five_block": small, "other": other}, "data.augment": {"none": lambda: None}}


def load(text: str | None, *overrides: str, tmp_path=None):
    path = None
    if text is not None:
        path = tmp_path / "a.yaml"
        path.write_text(text)
    return config.load(path, list(overrides), BUILDERS)


def error(*arguments, **keywords) -> str:
    with pytest.raises(InputError) as caught:
        load(*arguments, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_values_come_from_file_then_command_line(tmp_path):
    text = "seed: 5\noptim: {learning_rate: 1e-3, momentum: 0.9}\nmodel: {name: five_block, filters: 8}\n"
    found = load(text, "--seed=7", "--model.filters", "16", tmp_path=tmp_path)
    assert (found.seed, found.optim.learning_rate, found.optim.momentum) == (7, 1e-3, 0.9)
    assert found.model == config.Choice("five_block", {"filters": 16, "kernel": 3, "rates": (0.1, 0.2)})


def test_dump_loads_to_the_same_config(tmp_path):
    first = load(None, "--model.rates", "[0.5]", "--train.early_stopping", "3", "--name", "é1", "--deterministic", "no")
    assert load(config.dump(first), tmp_path=tmp_path) == first


def test_another_model_on_the_command_line_drops_the_options_of_the_first(tmp_path):
    found = load(
        "model: {name: five_block, filters: 8}\n", "--model.name", "other", "--model.units", "4", tmp_path=tmp_path
    )
    assert found.model == config.Choice("other", {"units": 4})
    same = load("model: {name: five_block, filters: 8}\n", "--model.name", "five_block", tmp_path=tmp_path)
    assert same.model.options["filters"] == 8


@pytest.mark.parametrize("naming", ["--model.name", "--model"])
def test_options_given_before_the_name_of_their_model_are_kept(naming, tmp_path):
    found = load("model: {name: five_block, filters: 8}\n", "--model.units", "4", naming, "other", tmp_path=tmp_path)
    assert found.model == config.Choice("other", {"units": 4})


TYPED = ["1e3", "12:30", "2024_01", "no", "on", "0x1F", "007", "1.50", "2020-01-02", "2020-13-45", "~x", "+5", ".5"]


@pytest.mark.parametrize("typed", [typed for typed in TYPED if not typed.startswith(".")])
def test_text_is_what_was_typed(tmp_path, typed):
    found = load(f"tracking: {{entity: {typed}}}\n", "--tracking.group", typed, tmp_path=tmp_path)
    assert (found.tracking.entity, found.tracking.group) == (typed, typed)
    again = tmp_path / "again.yaml"
    again.write_text(config.dump(found))
    assert config.load(again, [], BUILDERS).tracking.entity == typed
    assert config.read_flat(again)["tracking.entity"] == typed


def test_text_is_no_list_no_section_and_not_nothing(tmp_path):
    for text in ("name: [a]\n", "name: {a: b}\n", "name:\n", "name: null\n"):
        assert "expected text" in error(text, tmp_path=tmp_path)
    assert load(None, "--data.source", "folder:[a] {b: c}").data.source == "folder:[a] {b: c}"
    assert load(None, "--tracking.entity", "null").tracking.entity is None


def test_numbers_remain_what_yaml_reads(tmp_path):
    found = load("seed: 0x1F\noptim: {learning_rate: 1e-3}\n", "--train.epochs", "1_0", tmp_path=tmp_path)
    assert (found.seed, found.optim.learning_rate, found.train.epochs) == (31, 0.001, 10)
    assert "found 'no1', expected a whole number" in error("seed: no1\n", tmp_path=tmp_path)
    assert "found True, expected a whole number" in error("seed: on\n", tmp_path=tmp_path)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text", [BOMB, "name: &a [*a]\n", "name: &x run\n", "seed: 1\nname: *x\n", "optim:\n  <<: &o {momentum: 0.9}\n"]
)
def test_anchors_and_aliases_are_refused_in_one_line_at_once(tmp_path, text):
    started = time.process_time()
    assert "expected the value itself" in error(text, tmp_path=tmp_path)
    assert time.process_time() - started < 10  # the text stands for a thousand million values


def test_deep_nesting_is_one_line(tmp_path):
    for text in ("name: " + 20_000 * "[", "name: " + 300 * "[" + 300 * "]"):
        assert "a.yaml:1: not valid YAML: more than 20 lists" in error(text, tmp_path=tmp_path)
    assert "found '[[[" in error(None, "--seed", 300 * "[" + 300 * "]")


def test_numbers_have_their_limits():
    assert "0 to 4294967295" in error(None, "--seed", str(2**32))


def test_differences_name_each_changed_field_once():
    changed = load(None, "--model.filters", "16", "--optim.learning_rate", "0.01")
    assert config.differences(load(None), changed) == ["model.filters: 3 -> 16", "optim.learning_rate: 0.001 -> 0.01"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("optim:\n  learning_rat: 3\n", ["a.yaml:2", "optim.learning_rat", "did you mean learning_rate?"]),
        ("seed: 1\nseed: 2\n", ["a.yaml:2", "seed twice"]),
        ("seed: [1\n", ["a.yaml:2", "not valid YAML"]),
        ("seed: true\n", ["a.yaml:1", "seed", "found True", "a whole number"]),
        ("train: {epochs: 0}\n", ["train.epochs", "found 0", "at least 1"]),
        ("train: {epochs: 2.5}\n", ["train.epochs", "found 2.5", "a whole number"]),
        ("optim: {learning_rate: .nan}\n", ["optim.learning_rate", "found nan", "a number"]),
        ("optim: {schedule: cosin}\n", ["optim.schedule", "'cosin'", "did you mean cosine?"]),
        ("optim: 3\n", ["optim: found 3", "section"]),
        ("name: a/b\n", ["name", "'a/b'", "without /"]),
        ("model: fiveblock\n", ["model.name", "'fiveblock'", "did you mean five_block?"]),
        ("model: {filter: 8}\n", ["model.filter", "of model five_block", "did you mean filters?"]),
        ("model: {kernel: 2}\n", ["model.kernel", "found 2", "one of 1, 3"]),
        ("model: {rates: [0.1, x]}\n", ["model.rates[1]", "'x'", "a number"]),
        ("model: other\n", ["other needs units"]),
        ("- 1\n", ["expected a section"]),
    ],
)
def test_wrong_files_are_named_in_one_line(tmp_path, text, words):
    message = error(text, tmp_path=tmp_path)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--optim.learning_rate"], ["--optim.learning_rate has no value"]),
        (["--seed", "--name", "x"], ["--seed has no value"]),
        (["--sede", "3"], ["sede: unknown field", "did you mean seed?"]),
        (["stray"], ["'stray'", "neither"]),
        (["--optim.learning_rate", "fast"], ["'fast'", "a number"]),
    ],
)
def test_wrong_overrides_are_named_in_one_line(arguments, words):
    message = error(None, *arguments)
    assert all(word in message for word in words), message


def test_a_missing_file_names_its_nearest_neighbour(tmp_path):
    (tmp_path / "net1.yaml").write_text("")
    with pytest.raises(InputError, match=r"nte1\.yaml.*did you mean .*net1\.yaml"):
        config.load(tmp_path / "nte1.yaml", [], BUILDERS)


def test_yaml_cannot_run_code(tmp_path):
    assert "could not determine a constructor" in error("name: !!python/name:os.getpid x\n", tmp_path=tmp_path)
    assert "found [], expected text" in error("name: !!python/object/apply:os.getpid []\n", tmp_path=tmp_path)


def test_numbers_with_exponents_are_numbers_wherever_they_stand(tmp_path):
    text = "optim: {learning_rate: 1e-3, weight_decay: 5E+1}\nmodel: {rates: [1e-2, .5e0]}\n"
    found = load(text, "--train.ema", "9e-1", tmp_path=tmp_path)
    assert (found.optim.learning_rate, found.optim.weight_decay, found.train.ema) == (0.001, 50.0, 0.9)
    assert found.model.options["rates"] == (0.01, 0.5)


def test_words_that_yaml_reads_as_booleans_stay_words():
    assert load(None, "--tracking.wandb", "off").tracking.wandb == "off"
    assert load(None, "--deterministic", "yes").deterministic == "yes"


NOTED = {  # what is given: what is said about it
    ("optim.momentum", "0.9"): "optim.momentum 0.9 has no effect with optim.optimizer adam",
    ("optim.nesterov", "true"): "optim.nesterov true has no effect with optim.optimizer adam",
    ("optim.gamma", "0.5"): "optim.gamma 0.5 has no effect with optim.schedule constant",
    ("optim.step_epochs", "3"): "optim.step_epochs 3 has no effect with optim.schedule constant",
    ("optim.plateau_patience", "3"): "optim.plateau_patience 3 has no effect with optim.schedule constant",
    ("data.test", "300"): "data.test 300 has no effect with the source's own splits train, test",
    ("data.cache", "disk"): "data.cache disk has no effect with data.source fashion-mini",
    ("data.corrupt", "skip"): "data.corrupt skip has no effect with data.source fashion-mini",
}


@pytest.mark.parametrize(("given", "note"), NOTED.items())
def test_a_changed_field_without_effect_is_noted(given, note):
    name, value = given
    assert config.without_effect(load(None, f"--{name}", value), ["train", "test"]) == [note]


def test_fields_at_their_defaults_or_with_an_effect_are_not_noted():
    assert config.without_effect(load(None), ["train", "validation", "test"]) == []
    sgd = ["--optim.optimizer", "sgd", "--optim.momentum", "0.9", "--optim.nesterov", "true", "--data.validation", "9"]
    step = ["--optim.schedule", "step", "--optim.gamma=0.5", "--optim.step_epochs=2", "--optim.warmup_epochs=1"]
    files = ["--data.source", "folder:x", "--data.cache", "disk", "--data.corrupt", "skip"]
    assert config.without_effect(load(None, *sgd, *step, *files), ["train", "test"]) == []


def test_one_batch_and_one_cycle_leave_fields_without_effect():
    cycle = load(None, "--optim.schedule", "one_cycle", "--optim.warmup_epochs", "2")
    note = "optim.warmup_epochs 2.0 has no effect with optim.schedule one_cycle"
    assert config.without_effect(cycle, ["train"]) == [note]
    builders = {"model": BUILDERS["model"], "data.augment": {"none": lambda: None, "light": lambda: None}}
    words = ["--train.overfit_batch", "true", "--data.augment", "light", "--train.checkpoint_minutes", "1"]
    notes = config.without_effect(config.load(None, words, builders), ["train"])
    assert notes == [
        "data.augment.name light has no effect with train.overfit_batch true",
        "train.checkpoint_minutes 1.0 has no effect with train.overfit_batch true",
    ]


def test_every_field_that_depends_on_another_is_a_field():
    fields = config.flat(config.Config())
    for name, (other, values) in config.ACTS_WITH.items():
        assert name in fields
        assert other in fields or other == "the source's own splits"
        hint = typing.get_type_hints(config.OptimConfig).get(other.removeprefix("optim."))
        assert hint is None or set(values) < set(typing.get_args(hint))


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("train.batch_size", "010", "a whole number or auto"),  # 8 to YAML 1.1
        ("train.epochs", "1:30", "a whole number"),  # 90
        ("train.epochs", "-07", "a whole number"),
        ("optim.learning_rate", "0:0.5", "a number"),  # 0.5
        ("optim.learning_rate", "00", "a number"),
    ],
)
def test_numbers_that_yaml_reads_as_others_are_refused(tmp_path, field, text, expected):
    section, name = field.split(".")
    found = f"{field}: found '{text}', expected {expected}"
    assert found in error(f"{section}: {{{name}: {text}}}\n", tmp_path=tmp_path)
    assert error(None, f"--{field}", text) == f"command line: {found}"
    assert load(None, "--tracking.group", text).tracking.group == text


def test_numbers_in_other_notations_are_read():
    assert load(None, "--seed", "0x10", "--train.epochs", "1_000").seed == 16
    assert load(None, "--optim.learning_rate", "0.010").optim.learning_rate == 0.01


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("lr", "optim.learning_rate"),
        ("optim.lr", "optim.learning_rate"),
        ("epochs", "train.epochs"),
        ("batch", "train.batch_size"),
        ("train.batch", "train.batch_size"),
        ("image_size", "data.image_size"),
        ("data.learning_rate", "optim.learning_rate"),
        ("learningrate", "optim.learning_rate"),
        ("optim.lerning_rate", "learning_rate"),
        ("presision", "precision"),
    ],
)
def test_an_unknown_field_has_its_nearest_name_in_any_section(name, hint):
    assert error(None, f"--{name}", "3").endswith(f"; did you mean {hint}?")


def test_a_config_that_cannot_be_read_is_not_offered_as_its_own_replacement(tmp_path):
    (tmp_path / "a.yaml").mkdir()
    with pytest.raises(InputError, match=r"a\.yaml: cannot read the config: Is a directory$"):
        config.load(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("")
    with pytest.raises(InputError, match=r"; did you mean .*b\.yaml\?$"):
        config.load(tmp_path / "a.yaml")


def test_nesterov_without_momentum_is_refused(tmp_path):
    message = error("optim:\n  optimizer: sgd\n  nesterov: true\n", tmp_path=tmp_path)
    assert "a.yaml:3: optim.nesterov" in message
    assert "expected a momentum above 0" in message


def recipe(*, spin: float = 0.0, fill: Literal["black", "near"] = "black"):
    """A recipe.

    Options:
        spin: degrees
        fill: what lies outside
    """


def test_help_lists_the_options_of_builders_once_with_the_defaults_that_differ():
    recipes = {"none": recipe, "strong": functools.partial(recipe, spin=30.0)}
    lines = config.help_text({"model": BUILDERS["model"], "data.augment": recipes}).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("  --data.augment.name NAME"))
    assert lines[start + 1 : start + 4] == [
        "    none, strong",
        "      --data.augment.spin   degrees: a number (default 0.0; strong 30.0)",
        "      --data.augment.fill   what lies outside: one of black, near (default black)",
    ]
    start = next(i for i, line in enumerate(lines) if line.startswith("  --model.name NAME"))
    assert lines[start + 1] == "    five_block"
    assert lines[start + 2] == "      --model.filters   output channels: a whole number (default 3)"
    assert lines[start + 4] == "      --model.rates   : a list of a number (default [0.1, 0.2])"
    assert lines[start + 5 : start + 7] == ["    other", "      --model.units   : a whole number (required)"]


def test_help_lists_every_field_with_its_default():
    text = config.help_text(BUILDERS)
    assert "--optim.learning_rate   peak learning rate: a number (default 0.001)" in text
    assert "--model.name NAME   network and its options; one of the 2 below (default five_block)" in text
    listed = [line.split()[0] for line in text.splitlines() if line.startswith("  --")]
    assert listed == [f"--{name}" for name in config.flat(config.Config())]
