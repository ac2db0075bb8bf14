"""`train.batch_size: auto`: the largest batch that fits, and the learning rate for it."""

import csv
from dataclasses import replace
from types import SimpleNamespace

import pytest

from keras_cnn import config as config_module
from keras_cnn.config import Config, OptimConfig, TrainConfig
from keras_cnn.config.batch_size import as_resumed, with_scaled_rate
from keras_cnn.errors import InputError
from keras_cnn.loading import BUILDERS
from keras_cnn.run_folder import RunFolder
from keras_cnn.sweeps import worker
from keras_cnn.sweeps.sweep_file import read_sweep
from keras_cnn.tasks.preparing import prepare
from keras_cnn.training import batch_size, experiment

AUTO = Config(train=TrainConfig(batch_size="auto"))


@pytest.mark.parametrize("given", ["0", "-1", "1.5", "true", "automatic", "null"])
def test_anything_but_a_number_and_auto_is_one_line(given):
    with pytest.raises(InputError, match=r"^command line: train.batch_size: found .*, expected .*auto") as refused:
        config_module.load(None, [f"--train.batch_size={given}"])
    assert "\n" not in str(refused.value)


def of(optimizer, batch, base, rate=0.01):
    return Config(optim=OptimConfig(optimizer, rate, learning_rate_batch=base), train=TrainConfig(batch_size=batch))


@pytest.mark.parametrize(
    ("optimizer", "batch", "base", "rate"),
    [
        ("sgd", 512, 128, 0.04),  # Goyal et al.: multiplied by k with the batch
        ("sgd", 32, 128, 0.0025),
        ("adam", 512, 128, 0.02),  # Malladi et al.: by the square root of k
        ("adamw", 32, 128, 0.005),
        ("rmsprop", 200, 50, 0.02),
        ("adagrad", 50, 200, 0.005),
        ("adam", 512, None, 0.01),
    ],
)
def test_the_learning_rate_follows_the_batch_size_if_asked(optimizer, batch, base, rate):
    scaled = with_scaled_rate(of(optimizer, batch, base))
    assert scaled.optim.learning_rate == pytest.approx(rate, rel=1e-12)
    assert scaled.optim.learning_rate_batch is None
    assert with_scaled_rate(scaled) == scaled


def test_a_resumed_run_keeps_its_number_and_its_rate():
    stored = of("sgd", 512, None, 0.04)
    assert as_resumed(of("sgd", "auto", 128), stored) == stored
    assert as_resumed(of("sgd", 256, 128), stored).train.batch_size == 256


# --- the search, with a simulated memory ---


@pytest.fixture
def machine(monkeypatch):
    """Simulates a device; returns the sizes that were tried."""
    tried = []

    def describe(gpu=False, room=10**9, fixed=0, images=1000):
        """`room` images fit into a GPU, or `room` bytes are available, of which an image needs one."""

        def seconds(config, prepare, steps):
            tried.append(config.train.batch_size)
            kept = "auto" if gpu and config.train.on_device != "no" else "none"
            assert (config.data.cache, config.finetune.strategy, config.finetune.features) == (kept, "fixed", "none")
            assert config.optim.learning_rate_batch is None
            if gpu and config.train.batch_size > room:
                raise MemoryError("OOM when allocating tensor")

        def growth(work):
            work()
            return fixed + tried[-1]

        monkeypatch.setattr(batch_size.tf.config, "get_visible_devices", lambda kind: ["GPU:0"] if gpu else [])
        monkeypatch.setattr(batch_size, "step_seconds", seconds)
        monkeypatch.setattr(batch_size, "available_memory", lambda: room)
        monkeypatch.setattr(batch_size, "memory_growth", growth)
        return lambda config: SimpleNamespace(train_images=images)

    describe.tried = tried
    return describe


@pytest.mark.parametrize(
    ("room", "images", "expected", "tried"),
    [
        (300, 1000, 256, [36, 72, 144, 288, 576]),  # an eighth more than 32, 64, ...; 576 are too many
        (287, 1000, 128, [36, 72, 144, 288]),
        (10, 1000, 8, [36, 18, 9]),
        (10**6, 1000, 512, [36, 72, 144, 288, 576]),
        (10**6, 20, 16, [18]),
    ],
)
@pytest.mark.parametrize("on_device", ["auto", "no"])
def test_a_gpu_is_filled_by_doubling_until_it_refuses(machine, messages, on_device, room, images, expected, tried):
    prepare = machine(gpu=True, room=room, images=images)
    config = replace(of("sgd", "auto", 1), train=replace(AUTO.train, on_device=on_device))
    assert batch_size.resolved(config, prepare).train.batch_size == expected
    assert machine.tried == tried
    found, _ = messages
    why = f"twice as many would be more than the {images:,} training images"
    if 2 * expected <= images:
        why = f"{2 * expected} do not fit in the memory of the GPU"
    assert found == f"batch     {expected} images a step: {why}"


@pytest.mark.parametrize(
    ("room", "fixed", "expected", "tried"),
    [
        (1100, 0, 512, [32, 64, 128, 256, 512]),  # half of the memory is 550
        (1100, 200, 128, [32, 64, 128]),  # 328 bytes for 128: twice as much would be too much
        (1024, 0, 512, [32, 64, 128, 256, 512]),  # all of its half
        (64, 0, 32, [32]),
        (40, 0, 16, [32, 16]),
    ],
)
def test_a_processor_gets_half_of_the_memory_and_nothing_larger_is_tried(machine, room, fixed, expected, tried):
    prepare = machine(room=room, fixed=fixed, images=600)
    assert batch_size.resolved(AUTO, prepare).train.batch_size == expected
    assert machine.tried == tried


def test_an_image_that_does_not_fit_is_said_in_one_line(machine):
    with pytest.raises(InputError, match=r"train.batch_size: auto: one image does not fit in memory"):
        batch_size.resolved(AUTO, machine(gpu=True, room=0))


def test_another_error_of_a_step_is_passed_on(machine, monkeypatch):
    prepare = machine(gpu=True)
    monkeypatch.setattr(batch_size, "step_seconds", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        batch_size.resolved(AUTO, prepare)


def test_one_batch_alone_and_a_sweep_need_a_number(machine, tmp_path):
    one_batch = replace(AUTO, train=replace(AUTO.train, overfit_batch=True))
    with pytest.raises(InputError, match=r"train.batch_size: found auto, expected a number: train.overfit_batch"):
        batch_size.resolved(one_batch, machine())
    (tmp_path / "base.yaml").write_text(config_module.dump(Config()), encoding="utf-8")
    (tmp_path / "sweep.yaml").write_text("method: grid\nparameters: {train.batch_size: {value: auto}}\n")
    sweep = read_sweep(tmp_path / "sweep.yaml", None)
    with pytest.raises(InputError, match=r"train.batch_size: found auto, expected a number: the trials of a sweep"):
        worker.trial_config(sweep, tmp_path / "base.yaml", {"train.batch_size": "auto"})


# --- a run ---


def test_a_run_is_the_one_that_the_number_would_have_given(tmp_path, monkeypatch, caplog):
    """80 training images; a batch of 16 needs as much memory as there is: the search is real, its limit is not."""
    monkeypatch.setattr(batch_size, "FIRST", 8)
    monkeypatch.setattr(batch_size, "memory_growth", lambda work: work() or 1.0)
    monkeypatch.setattr(batch_size, "available_memory", lambda: 2 * 1.9)
    given = "--data.train=80 --data.validation=40 --model=lenet --train.epochs=2 --tracking.wandb=off"
    words = [*given.split(), "--data.augment.name=light", "--optim.learning_rate_batch=2"]
    histories = []
    for size in ("auto", 8):
        config = config_module.load(None, [*words, f"--train.batch_size={size}"], BUILDERS)
        with caplog.at_level("INFO"), RunFolder.create(str(size), tmp_path) as folder:
            experiment.train(config, folder, prepare)
        stored = folder.config(BUILDERS)
        assert (stored.train.batch_size, stored.optim.learning_rate_batch) == (8, None)
        assert stored.optim.learning_rate == pytest.approx(2e-3)  # Adam's 1e-3, times the square root of 8 / 2
        rows = csv.DictReader((folder / "history.csv").read_text().splitlines())
        histories.append([{k: v for k, v in row.items() if "seconds" not in k} for row in rows])
    assert histories[0] == histories[1]
    assert "batch     8 images a step: 16 do not fit in 50% of the available memory" in caplog.messages
    assert "rate      0.002 for 8 images a step: 0.001 for 2, times 2" in caplog.messages
