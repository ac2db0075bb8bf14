"""What the engine decides at the end of an epoch, how it times its steps, and how it is stopped."""

import dataclasses
import itertools
import signal
from types import SimpleNamespace

import pytest

from keras_cnn.errors import Stopped
from keras_cnn.operating_system import STOP_SIGNALS
from keras_cnn.run_folder import RunFolder, shell_command
from keras_cnn.training import experiment, session
from keras_cnn.training.interrupt import Interrupt
from tests.training.test_identity import CONFIG, OneLayer, train


@pytest.mark.parametrize(
    ("schedule", "losses", "rates"),
    [
        ("plateau", [1, 1, 1], [0.08, 0.08, 0.04]),
        ("plateau", [1, 0.9, 0.8], [0.08, 0.08, 0.08]),
        ("constant", [1, 1, 1], [0.08, 0.08, 0.08]),
    ],
)
def test_an_epoch_without_a_lower_validation_loss_halves_the_rate_of_the_next(
    tmp_path, monkeypatch, schedule, losses, rates
):
    settings = {"schedule": schedule, "learning_rate": 0.08, "gamma": 0.5, "plateau_patience": 1}
    config = dataclasses.replace(CONFIG, optim=dataclasses.replace(CONFIG.optim, **settings))
    scripted = iter(losses)
    monkeypatch.setattr(OneLayer, "validate", lambda task: {"val_loss": next(scripted), "val_accuracy": 0.5})
    train(tmp_path / "run", [], config=config)
    rows = RunFolder(tmp_path / "run").history()
    assert rows[1]["loss"] > rows[0]["loss"]  # that of training decides nothing
    assert [row["learning_rate"] for row in rows] == pytest.approx(rates)


def test_a_run_takes_what_its_phase_takes_to_begin_and_its_checkpoints_are_minutes_apart(tmp_path, monkeypatch):
    clock, seconds, fit = iter([0.0, 50.0]), [], experiment.fit
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(experiment, "fit", lambda *a, **s: seconds.append(s["checkpoint_seconds"]) or fit(*a, **s))
    settings = dataclasses.replace(CONFIG.train, checkpoint_minutes=1.5)
    train(tmp_path / "run", [0.1, 0.2, 0.3], config=dataclasses.replace(CONFIG, train=settings))
    assert seconds == [90]
    assert 50 < RunFolder(tmp_path / "run").history()[0]["run_seconds"] < 100


@pytest.mark.parametrize(
    ("is_trial", "moment", "noted"),
    [(False, "validate", True), (False, "log_summary", False), (True, "validate", False)],
)
def test_a_stop_says_how_to_go_on_once_there_is_something_to_go_on_with(tmp_path, monkeypatch, is_trial, moment, noted):
    """A trial says nothing: its sweep goes on with it."""

    def stopped(task):
        raise Stopped("enough")

    monkeypatch.setattr(OneLayer, "is_trial", is_trial)
    monkeypatch.setattr(OneLayer, moment, stopped)
    with pytest.raises(Stopped) as caught:
        train(tmp_path / "run", [])
    found = getattr(caught.value, "__notes__", [])
    assert found == [f"go on with: {shell_command('train', '--resume', tmp_path / 'run')}"] * noted


def test_the_range_test_takes_the_first_batches_and_leaves_its_numbers(tmp_path, monkeypatch):
    task, asked = OneLayer(CONFIG, [], True), []
    (batch, *_) = task.batches(0, 0)
    monkeypatch.setattr(task, "batches", lambda *where: asked.append(where) or itertools.repeat(batch, 12))
    monkeypatch.setattr(experiment.finder, "LOWEST", 1e-9)
    with RunFolder.open_or_create(tmp_path / "run") as folder:
        suggested = experiment.find_learning_rate(CONFIG, folder, lambda *_: task)
    assert asked == [(0, 0, 100)]
    rows = [line.split(",") for line in (tmp_path / "run" / "learning_rates.csv").read_text().splitlines()]
    assert rows[0] == ["learning_rate", "loss"]
    assert [float(rate) for rate, _ in rows[1:]] == pytest.approx([1e-9 * 1e9 ** (step / 99) for step in range(12)])
    assert suggested in [float(rate) for rate, _ in rows[1:]]


def test_the_first_steps_are_not_timed(monkeypatch):
    clock = iter([0.0, 10.0, 20.0, 22.0])
    monkeypatch.setattr(experiment, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert experiment.step_seconds(CONFIG, lambda *_: OneLayer(CONFIG, [], True), 1) == 2


def test_a_second_signal_has_its_usual_effect():
    heard = []
    outside = {number: signal.signal(number, lambda number, _: heard.append(number)) for number in STOP_SIGNALS}
    try:
        with Interrupt() as interrupt:
            signal.raise_signal(signal.SIGINT)
            assert (interrupt.name, heard) == ("SIGINT", [])
            signal.raise_signal(signal.SIGINT)
            assert heard == [signal.SIGINT]
        with Interrupt() as interrupt:
            assert interrupt.name is None
        signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGINT, signal.SIGTERM]
    finally:
        for number, handler in outside.items():
            signal.signal(number, handler)
