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


def test_values_that_yaml_cannot_build_are_one_line(tmp_path):
    assert "a.yaml" in error("name: 2020-13-45\n", tmp_path=tmp_path)
    assert "a.yaml" in error("name: &a [*a]\n", tmp_path=tmp_path)
    assert load(None, "--name", "2020-13-45").name == "2020-13-45"
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


def test_help_lists_every_field_with_its_default():
    text = config.help_text(BUILDERS)
    assert "--optim.learning_rate   peak learning rate: a number (default 0.001)" in text
    assert "one of five_block, other (default five_block)" in text
    assert text.count("\n") + 1 == len(config.flat(config.Config()))
