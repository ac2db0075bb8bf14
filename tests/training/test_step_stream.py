import keras
import numpy as np
import pytest

from keras_cnn import models
from keras_cnn.config import OptimConfig
from keras_cnn.data import augment, pipeline
from keras_cnn.data.dataset import Split
from keras_cnn.tasks.classification.objective import CrossEntropy
from keras_cnn.training.optimizers import build_optimizer
from keras_cnn.training.step import Trainer
from keras_cnn.training.step_stream import MEASURED, StepStream

SHAPE, CLASSES, IMAGES, BATCH = (8, 8, 1), 3, 22, 8  # batches of 8, 8 and 6
TABLE = [{"conv": 4, "kernel": 3}, {"bn": None}, {"relu": None}, {"flatten": None}, {"dropout": 0.3}]
SPLIT = Split(
    ids=tuple(f"image{i}" for i in range(IMAGES)),
    labels=np.arange(IMAGES) % CLASSES,
    pixels=np.random.default_rng(0).integers(0, 256, (IMAGES, *SHAPE), dtype=np.uint8),
)
RECIPE = augment.Augmentation(mixup=0.3, rotation=10, flip=0.5)
EVERYTHING = augment.Augmentation(
    crop_area=(0.5, 1), pad_crop=2, flip=0.5, vertical_flip=0.5, rotation=10, scale=(0.9, 1.1), translation=0.1,
    shear=5, brightness=0.2, contrast=0.2, saturation=0.2, policy="randaugment", erase=0.5, cutout=3,
    mixup=0.2, cutmix=0.2,
)  # fmt: skip
RATES = [0.01 / (1 + step) for step in range(9)]


def changed(images, labels, keys, epoch):
    return augment.augment(images, labels, keys, epoch, seed=1, recipe=RECIPE)


def changed_in_every_way(images, labels, keys, epoch):
    return augment.augment(images, labels, keys, epoch, seed=1, recipe=EVERYTHING)


def stream_of(steps_per_call, augmented=changed) -> tuple[Trainer, StepStream]:
    keras.utils.set_random_seed(1)
    trainer = Trainer(
        models.build("layers", SHAPE, CLASSES, table=TABLE),
        build_optimizer(OptimConfig(optimizer="adamw", weight_decay=0.01)),
        augmented,
        objective=CrossEntropy(CLASSES),
        ema=0.9,
    )
    batches = pipeline.batches(SPLIT, SHAPE, BATCH, seed=1, epochs=9)
    return trainer, StepStream(trainer, batches, steps_per_call, len(RATES))


def trained(calls: list[int]) -> tuple[list[bytes], list]:
    """Every variable after calls of so many steps, and what each step measured."""
    trainer, stream = stream_of(max(calls))
    results, begin = [], 0
    for count in calls:
        results += stream.advance(RATES[begin : begin + count])
        begin += count
    return [np.asarray(v).tobytes() for group in trainer.groups().values() for v in group], results


def test_several_steps_a_call_are_single_steps_to_the_byte():
    single, measured = trained([1] * 9)
    assert [images for _, images in measured] == [8, 8, 6] * 3
    for calls in ([4, 5], [1, 7, 1]):
        assert trained(calls) == (single, measured)


@pytest.mark.parametrize(("wanted", "numbers"), [(4, [4, 3]), (1, [1, 1]), ("auto", [1, 1])])
def test_the_number_of_steps_of_a_call(wanted, numbers):
    _, stream = stream_of(wanted)
    assert [stream.next_steps(most) for most in (9, 3)] == numbers


@pytest.mark.parametrize(
    ("first", "step", "left", "number"),
    [
        (2.0, 0.005, 10_000, 20),  # 0.1 s a call
        (2.0, 0.0001, 10_000, 32),  # the most
        (2.0, 0.005, 2_001, 20),
        (2.0, 0.005, 2_000, 1),  # 2 s saved, and 2 s to compile
        (2.0, 0.2, 10_000, 1),  # a step takes longer than a call shall
    ],
)
def test_auto_makes_several_steps_a_call_where_they_save_more_than_they_cost(first, step, left, number):
    _, stream = stream_of("auto")
    assert MEASURED == 8
    stream._seconds, stream._left = [first, *[step / 10] * 3, *[step * 10] * 3, step], left
    assert stream.next_steps(100) == 1  # too few steps to tell
    stream._seconds.append(step)
    assert stream.next_steps(100) == number


def test_nothing_is_traced_again_for_the_last_batch_of_an_epoch_or_a_shorter_call():
    """Three epochs of batches of 8, 8 and 6, in calls of one, of three and of two steps."""
    traced = []

    def augmented(images, labels, keys, epoch):
        traced.append(images.shape)
        return changed(images, labels, keys, epoch)

    trainer, stream = stream_of(3, augmented)
    for count in (1, 1, 1, 3, 2, 1):
        stream.advance(RATES[:count])
    assert trainer.step.experimental_get_tracing_count() == 1
    assert len(traced) == 2  # single steps, and the loop


COMPILED = """
import os, sys
os.environ["XLA_FLAGS"] = f"--xla_dump_to={sys.argv[1]}"
from pathlib import Path
from tests.training.test_step_stream import RATES, changed_in_every_way, stream_of
_, stream = stream_of(1, changed_in_every_way)
for epoch in range(3):
    for _ in range(3):
        stream.advance(RATES[:1])
    print(len(list(Path(sys.argv[1]).glob("module_*.before_optimizations.txt"))), flush=True)
"""


def test_xla_compiles_both_sizes_of_a_batch_in_the_first_epoch_alone(fork_server, tmp_path):
    """Whatever the augmentation draws: what XLA has to know beforehand would be compiled anew for each batch."""
    done = fork_server.run(COMPILED, tmp_path)
    assert done.returncode == 0, done.stderr
    first, *others = map(int, done.stdout.split())
    assert first >= 2
    assert others == [first, first]
