"""Trains tiny networks on several logical devices and on one, and prints the largest differences as JSON.

python -m tests.distribution.equality 2
python -m tests.distribution.equality 4 adamw "rmsprop+clipping"

Logical devices are fixed when TensorFlow begins, so that this is a program of its own; see test_replicas.py.
"""

import json
import sys
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from keras_cnn import models
from keras_cnn.config import OptimConfig
from keras_cnn.data import augment, pipeline
from keras_cnn.data.dataset import Split
from keras_cnn.distribution.device_rows import DeviceRows
from keras_cnn.distribution.devices import open_devices
from keras_cnn.distribution.replicas import SINGLE, Replicas
from keras_cnn.evaluation.predict import Predictor
from keras_cnn.tasks.classification.features import AugmentedViews, FrozenPart
from keras_cnn.tasks.classification.objective import CrossEntropy
from keras_cnn.tasks.multilabel.objective import BinaryCrossEntropy
from keras_cnn.training.optimizers import build_optimizer
from keras_cnn.training.step import Trainer
from keras_cnn.training.task import no_interrupt

SHAPE, CLASSES, BATCH, STEPS, RATE = (12, 12, 1), 4, 16, 20, 1e-2
IMAGES = 65  # 16, 16, 16, 16 and 1: the last batch of an epoch has fewer images than replicas
SPLIT = Split(
    ids=tuple(f"image{i:03d}" for i in range(IMAGES)),
    labels=np.random.default_rng(0).integers(0, CLASSES, IMAGES),
    pixels=np.random.default_rng(1).integers(0, 256, (IMAGES, *SHAPE), dtype=np.uint8),
)
LABEL_SETS = replace(SPLIT, labels=np.random.default_rng(2).integers(0, 2, (IMAGES, CLASSES)))
PLAIN = [{"conv": 4, "kernel": 3}, {"relu": None}, {"pool": 2}, {"flatten": None}]
NORM = [{"conv": 4, "kernel": 3}, {"bn": None}, {"relu": None}, {"pool": 2}, {"flatten": None}]
WEIGHTS = np.array([0.3, 1.0, 2.0, 5.0], np.float32)

CASES = {
    "sgd": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "adam": {"optimizer": "adam", "rate": 1e-3},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.05, "rate": 1e-3},
    "adagrad": {"optimizer": "adagrad"},
    "rmsprop": {"optimizer": "rmsprop", "rate": 1e-3},
    "clipping": {"clip_norm": 0.1},
    "average of the weights": {"ema": 0.9},
    "mixup": {"recipe": augment.Augmentation(mixup=0.4, flip=0.5)},
    "cutmix": {"recipe": augment.Augmentation(cutmix=1.0, rotation=10)},
    "class weights": {"class_weights": WEIGHTS},
    "label smoothing": {"smoothing": 0.1},
    "frozen part": {"frozen": "conv1"},
    "rates by layer": {"factors": {"conv1": 0.1}},
    "penalty": {"penalty": 0.01},
    "images on the devices": {"on_device": True, "recipe": augment.Augmentation(mixup=0.4, flip=0.5)},
    "several labels": {"several": True, "momentum": 0.9, "class_weights": np.array([WEIGHTS, WEIGHTS[::-1]])},
    "batch norm": {"table": NORM},
    "batch norm, one step": {"table": NORM, "steps": 1},
}
OPTIM = ("optimizer", "momentum", "nesterov", "weight_decay", "clip_norm")


def trained(case: dict, replicas: Replicas) -> tuple[dict[str, list[np.ndarray]], np.ndarray, Trainer]:
    """Every variable after the steps, the mean loss of each, and the trainer."""
    keras.utils.set_random_seed(1)
    with replicas.scope():
        model = models.build("layers", SHAPE, CLASSES, table=case.get("table", PLAIN))
        if "penalty" in case:
            model.get_layer("conv1").kernel_regularizer = keras.regularizers.L2(case["penalty"])
            model.get_layer("conv1").kernel.regularizer = keras.regularizers.L2(case["penalty"])
    if "frozen" in case:
        model.get_layer(case["frozen"]).trainable = False
    recipe = case.get("recipe", augment.RECIPES["fashion"])
    share = replicas.with_overlap(recipe.mixes)
    factors = {v.path: f for name, f in case.get("factors", {}).items() for v in model.get_layer(name).variables}
    optim = OptimConfig(**{"optimizer": "sgd"} | {name: case[name] for name in OPTIM if name in case})
    with replicas.scope():
        optimizer = build_optimizer(optim)
    rows = DeviceRows(SPLIT.pixels, replicas) if case.get("on_device") and replicas is not SINGLE else None

    def augmented(images, labels, keys, epoch):
        images = rows.gathered(images) if rows else images
        return augment.augment(images, labels, keys, epoch, seed=1, recipe=recipe)

    split, objective = (LABEL_SETS, BinaryCrossEntropy) if "several" in case else (SPLIT, CrossEntropy)
    trainer = Trainer(
        model,
        optimizer,
        augmented,
        inputs=tf.TensorSpec((None,), tf.int64) if rows else None,
        objective=objective(CLASSES, case.get("smoothing", 0.0), case.get("class_weights")),
        rate_factors=factors,
        ema=case.get("ema"),
        replicas=replicas,
        share=share,
    )
    options = {"seed": 1, "epochs": 9, "share": share}
    batches = (
        pipeline.row_batches(split, BATCH, **options) if rows else pipeline.batches(split, SHAPE, BATCH, **options)
    )
    stream = iter(batches)
    losses = []
    for _ in range(case.get("steps", STEPS)):
        batch = next(stream)
        total, correct = trainer.train_on(batch, case.get("rate", RATE))
        losses.append([float(total) / int(batch.size), int(correct)])
    values = {name: [np.asarray(v) for v in group] for name, group in trainer.groups().items()}
    return values, np.array(losses), trainer


def largest_difference(first: dict, second: dict) -> float:
    pairs = [pair for name in first for pair in zip(first[name], second[name], strict=True)]
    return max(float(np.abs(a.astype(np.float64) - b).max(initial=0)) for a, b in pairs)


def drift(trainer: Trainer) -> float:
    """The largest difference between the copies of a variable."""
    values = [getattr(v, "value", v) for group in trainer.groups().values() for v in group]
    copies = [[c.numpy() for c in value.values] for value in values if hasattr(value, "values")]
    return max(float(np.abs(each - first).max(initial=0)) for first, *others in copies for each in others)


def logits_difference(trainer: Trainer, replicas: Replicas) -> float:
    """The largest difference of the logits of batches divided among the replicas from those of whole batches."""
    whole, divided = (
        Predictor(trainer.model, replicas=each).logits(pipeline.batches(SPLIT, SHAPE, BATCH))
        for each in (SINGLE, replicas)
    )
    return float(np.abs(whole - divided).max())


def features_are_equal(trainer: Trainer, replicas: Replicas) -> bool:
    """Whether replicas that compute whole batches of a network's first layers give the bytes of one device."""
    first = keras.Model(trainer.model.inputs, trainer.model.layers[2].output)
    repeated = SPLIT.take(np.arange(2 * IMAGES) % IMAGES)  # five batches of FrozenPart: one is left over
    views = AugmentedViews(augment.RECIPES["fashion"], seed=5, count=2)
    parts = [
        FrozenPart(first, "auto", lambda split, size: pipeline.batches(split, SHAPE, size), each)
        for each in (SINGLE, replicas)
    ]
    whole, divided = (part.in_memory(repeated, views, no_interrupt).values for part in parts)
    return whole.tobytes() == divided.tobytes()


def main(count: int, wanted: list[str]) -> None:
    strategy = tf.distribute.MirroredStrategy(open_devices(f"cpu:{count}"))
    tf.config.experimental.enable_op_determinism()
    for name in wanted or CASES:
        case = {key: value for part in name.split("+") for key, value in CASES[part].items()}
        alone, losses, _ = trained(case, SINGLE)
        values, found, trainer = trained(case, Replicas(strategy))
        row = {
            "case": name,
            "weights": largest_difference(alone, values),
            "loss": float(np.abs(found[:, 0] - losses[:, 0]).max()),
            "correct": int(np.abs(found[:, 1] - losses[:, 1]).max()),
            "drift": drift(trainer),
            "logits": logits_difference(trainer, Replicas(strategy)),
        }
        if case.get("on_device"):
            row["features"] = features_are_equal(trainer, Replicas(strategy))
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
