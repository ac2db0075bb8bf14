"""Detection as a `training.task.Task`."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
import tensorflow as tf

from keras_cnn.config.batch_size import require_number
from keras_cnn.data.pipeline import Batch
from keras_cnn.detection.loss import YoloLoss
from keras_cnn.distribution.ranks import ALONE, Ranks
from keras_cnn.distribution.replicas import Divided
from keras_cnn.models import arithmetic
from keras_cnn.run_folder import RunFolder, write_text
from keras_cnn.tasks.detection import batches, results, validation
from keras_cnn.tasks.detection.images import BoxImages
from keras_cnn.tasks.detection.settings import BoxConfig
from keras_cnn.tasks.detection.setup import DetectionSetup, log_summary, prepare_setup
from keras_cnn.tracking import Tracker
from keras_cnn.training import batch_size
from keras_cnn.training.optimizers import build_optimizer
from keras_cnn.training.phases import Phase
from keras_cnn.training.step import Trainer
from keras_cnn.training.task import CheckInterrupt, no_interrupt

COLUMNS = (
    *("epoch", *YoloLoss.measures),
    *("val_loss", "val_map50", "val_map"),
    *("learning_rate", "epoch_seconds", "run_seconds"),
)


def prepare(config: BoxConfig, chosen_precision: str | None = None, *, ranks: Ranks = ALONE) -> "DetectionTask":
    """The task of a config: reads the boxes, builds the network, sets seeds and number format of this process."""
    if ranks.count > 1:
        require_number(config, "several processes train on one batch")
    config = batch_size.resolved(config, lambda other: prepare(other, chosen_precision))
    return DetectionTask(prepare_setup(config, chosen_precision, ranks))


class DetectionTask:
    """The training of a YOLO network on annotated boxes."""

    history_columns = COLUMNS
    program = "detect"
    several_labels = False
    is_trial = False
    keeps_whole_model = False  # the saved network is a conversion: in float32, with folded batch norms
    keeps_last_model = False
    steps_per_call = 1  # each takes long, and its boxes come from Python

    def __init__(self, setup: DetectionSetup):
        self.setup = setup
        self.config, self.default_config = setup.config, BoxConfig()
        self.hardware, self.precision, self.model = setup.hardware, setup.precision, setup.model
        self.classes, self.split = setup.dataset.classes, setup.split
        self.phases, self.replicas = [Phase(setup.config.train.epochs)], setup.replicas
        self.monitor = setup.config.train.monitor
        self.train_images = len(setup.dataset.train)
        self.steps = math.ceil(self.train_images / setup.config.train.batch_size)

    def log_summary(self) -> None:
        log_summary(self.setup)

    def describe(self, folder: RunFolder) -> None:
        """Writes the rewritten cfg and the names of the classes."""
        write_text(folder / "model.cfg", self.setup.cfg.text)
        write_text(folder / "classes.names", "\n".join(self.setup.dataset.classes) + "\n")

    def draw_augmentation(self, folder: RunFolder) -> None:
        results.draw_augmentation(self.setup, folder)

    def require_same_start(self, folder: RunFolder) -> None: ...

    def start_phase(self, phase: Phase, check_interrupt: CheckInterrupt = no_interrupt) -> "DetectionPhase":
        return DetectionPhase(self.setup)

    def write_log(self, folder: RunFolder, history: Sequence[Mapping[str, float]]) -> None: ...

    def finish(
        self, folder: RunFolder, tracker: Tracker, phase_run: "DetectionPhase", best_epoch: int, validated: None
    ) -> dict:
        """Saves the network and measures it on validation and, once, on test."""
        return results.finish(self.setup, folder, tracker, best_epoch)


class DetectionFold(DetectionTask):
    """A run of a cross-validation: it is silent, and measured once on the images that are held out."""

    is_trial = True

    def draw_augmentation(self, folder: RunFolder) -> None: ...


def fold(config: BoxConfig, chosen_precision: str | None = None) -> DetectionFold:
    """The task of a fold."""
    return DetectionFold(prepare_setup(config, chosen_precision))


class DetectionPhase:
    """The only phase of a training on boxes, in which the whole network trains."""

    features_place = None
    validated = None

    def __init__(self, setup: DetectionSetup):
        self._setup = setup

    @cached_property
    def trainer(self) -> Trainer:
        """The compiled step with its optimizer."""
        config = self._setup.config
        objective = YoloLoss(self._setup.heads, self._setup.size, config.train.ignore_threshold)
        with self._setup.replicas.scope():
            optimizer = build_optimizer(config.optim, loss_scaling=self._setup.precision == "mixed_float16")
        return Trainer(
            self._setup.model,
            optimizer,
            _as_float,
            objective=objective,
            ema=config.train.ema,
            replicas=self._setup.replicas,
            share=self._setup.replicas.share,
        )

    def batches(self, epoch: int, step: int, epochs: int | None = None) -> Iterable[Batch]:
        config = self._setup.config
        return batches.training(
            self._setup.images("train"),
            config.train.batch_size,
            config.augment,
            config.seed,
            start=(epoch, step),
            epochs=epochs or config.train.epochs,
            share=self._setup.replicas.share,
        )

    def validate(self) -> dict[str, float]:
        """Loss and mAP on the validation split, in inference mode; each process of the run reads its part of it."""
        setup, pictures, size = self._setup, self._setup.dataset.validation, self._setup.config.train.batch_size
        own = setup.replicas.steps(len(pictures), size)
        losses, detections = [], []
        for images, labels, *_ in batches.plain(self._validation_images, size, own):
            maps = self._maps(images)
            losses.append(float(self._loss(maps, labels)))
            for maps_of_image in zip(*maps, strict=True):
                picture = pictures[own.start + len(detections)]
                detections.append(validation.detections_in(maps_of_image, setup.heads, picture, setup.size))
        rows = setup.replicas.gathered(validation.as_rows(detections, own.start))
        scores = validation.score(pictures, validation.from_rows(rows, len(pictures)), len(setup.dataset.classes))
        total = 0.0
        for loss in setup.replicas.gathered(np.array(losses)):
            total += float(loss)
        return {"val_loss": total / len(pictures), "val_map50": scores.map50, "val_map": scores.map}

    @cached_property
    def _validation_images(self) -> BoxImages:
        return self._setup.images("validation")

    @cached_property
    def _maps(self) -> Callable:
        """Images (B, H, W, 3) uint8 -> the maps (B, h, w, anchors * (5 + classes)) of each head."""
        model = self._setup.model
        images = tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.uint8)

        def maps(images: tf.Tensor) -> list[tf.Tensor]:
            outputs = model(images, training=False)
            return outputs if isinstance(outputs, list) else [outputs]

        return Divided(maps, images, self._setup.replicas)

    @cached_property
    def _loss(self) -> Callable:
        """(maps, labels) -> the loss summed over the images."""
        objective = self.trainer.objective
        maps = [tf.TensorSpec((None, *output.shape[1:]), output.dtype) for output in self._setup.model.outputs]
        signature = [maps, objective.labels]
        return tf.function(lambda *batch: objective(*batch)[1][0], input_signature=signature, autograph=False)

    def verify_frozen(self) -> int:
        return 0

    def report_last_weights(self) -> None: ...

    def log_summary(self) -> None: ...

    def multiply_adds(self, epochs: int) -> int:
        """Multiply-adds of training for `epochs` epochs: forward once, backward at twice that cost."""
        once = arithmetic.record(self._setup.model)["totals"]["multiply_adds"]
        return 3 * once * epochs * len(self._setup.dataset.train)


def _as_float(images, labels, keys, epoch):
    """Only casts: the pipeline has augmented the images already, because boxes change with them."""
    return tf.cast(images, tf.float32), labels
