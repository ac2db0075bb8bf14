"""The options of an experiment, each declared once: its type, its help, its limits and its default.

The loader, the error messages and `--help` read them from here. The options of a model or of an augmentation recipe
are the keyword-only parameters of its builder.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from keras_cnn.checking import Limit

POSITIVE = Limit("a number above 0", lambda v: v > 0)
AT_LEAST_0 = Limit("a number of at least 0", lambda v: v >= 0)
AT_LEAST_1 = Limit("a number of at least 1", lambda v: v >= 1)
NOT_EMPTY = Limit("a text that is not empty", bool)
AUTO = "auto"
AUTO_OR_AT_LEAST_1 = Limit("a number of at least 1, or auto", lambda v: v == AUTO or v >= 1)
if TYPE_CHECKING:
    BatchSize = int  # `training.batch_size` replaces auto before a task is prepared: all else sees a number
else:
    BatchSize = int | Literal["auto"]
SEED = Limit("a number from 0 to 4294967295", lambda v: 0 <= v < 2**32)
FRACTION = Limit("a number from 0 up to but not including 1", lambda v: 0 <= v < 1)
SHARE = Limit("a number above 0 and at most 1", lambda v: 0 < v <= 1)
GROUP_HELP = (
    "images that stay in one split: a column of the table; 1 for the folder that holds the image, 2 for the one above;"
    " or a pattern of the path with the group in parentheses, as '(P\\d+)_'"
)
FOLD_HELP = "the fold that is held out as test images, as 2/5: the second of five; --folds 5 trains one run for each"
FILE_NAME = Limit(  # a folder of this name can be copied to every system
    'a name without / \\ : * ? " < > | that does not start with a dot, nor end with a dot or a space',
    lambda v: (
        bool(re.fullmatch(r"(?!\.)[^/\\:*?\"<>|\x00-\x1f]*[^/\\:*?\"<>|\x00-\x1f. ]", v))
        and not re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", v, re.IGNORECASE)
    ),
)


@dataclass(frozen=True)
class Choice:
    """A named builder and its options, such as a model: `model: {name: net1, l1_oc: 18}` or `model: net1` in YAML."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


PER_CLASS = ("precision", "recall", "f1", "support")


@dataclass(frozen=True)
class PublishedNumber:
    """A number printed in a publication; the report compares it with the measured one."""

    figure: Annotated[
        Literal[
            "test_accuracy",
            "test_loss",
            "validation_accuracy",
            "validation_loss",
            "train_accuracy",
            "train_loss",
            "best_epoch",
            "epochs",
            "best_validation_accuracy",
            "best_validation_accuracy_epoch",
            "best_validation_loss",
            "best_validation_loss_epoch",
            "final_validation_accuracy",
            "final_validation_loss",
            "final_train_accuracy",
            "final_train_loss",
            "precision",
            "recall",
            "f1",
            "support",
            "trainable_parameters",
        ],
        "what was measured; of the splits, with the best epoch's model; final_ after the last epoch; best_ over all",
    ]
    value: Annotated[float, "as printed; a share is a fraction of 1"]
    source: Annotated[str, "publication with table or page"]
    class_name: Annotated[str | None, "of precision, recall, f1 and support"] = None
    decimals: Annotated[int | None, "printed decimal places; null: as many as value shows", AT_LEAST_0] = None
    tolerance: Annotated[
        float, "largest difference that still agrees, beyond the rounding of the print", AT_LEAST_0
    ] = 0.0
    conditions: Annotated[dict | None, "fields of a config, such as train.epochs, with the value they must have"] = None
    note: Annotated[str | None, "printed with the verdict"] = None


@dataclass(frozen=True)
class TableColumns:
    """The columns of a table of labels, csv:FILE or parquet:FILE, and the folder of its images."""

    path: Annotated[str | None, "column of the image files; null: path, image, filename, id, ..."] = None
    label: Annotated[str | None, "column of the classes; null: label, class, category, target, ..."] = None
    separator: Annotated[
        str | None, "text between the labels in a cell, such as a comma; with it, an image may have several", NOT_EMPTY
    ] = None
    classes: Annotated[
        tuple[str, ...] | Literal["all"] | None,
        "with separator: the known labels; without: the columns of 0 and 1, one a class, whose images may have several;"
        " all: every column but path, split and group",
    ] = None
    split: Annotated[str | None, "column of the splits; null: split or is_valid; none: no column"] = None
    group: Annotated[str | None, "column of groups that stay in one split; null: group, patient, ...; none"] = None
    root: Annotated[str | None, "folder to which paths are relative; null: that of the table, or one below"] = None


@dataclass(frozen=True)
class DataConfig:
    source: Annotated[str, "fashion-mini, fashion-mnist, folder:, csv:, parquet:, shards:, npz:FILE or tfds:NAME"] = (
        "fashion-mini"
    )
    table: TableColumns = TableColumns()
    image_size: Annotated[
        int | None, "side in pixels; null: a backbone's own, else that of the images where they agree", AT_LEAST_1
    ] = None
    channels: Annotated[Literal[1, 3] | None, "1 grey, 3 RGB; null takes what the images have"] = None
    fit: Annotated[Literal["crop", "center", "stretch", "pad"], "how another shape is fitted; center: 7/8 of crop"] = (
        "crop"
    )
    train: Annotated[int | float | None, "training images: a count, a fraction, or null for the rest", POSITIVE] = None
    group: Annotated[int | str | None, GROUP_HELP] = None
    fold: Annotated[str | None, FOLD_HELP] = None
    validation: Annotated[int | float, "validation images: a count or a fraction below 1", POSITIVE] = 0.1
    test: Annotated[int | float, "test images where the source has no test split of its own", POSITIVE] = 0.1
    per_class: Annotated[int | None, "limit of images per class in each part of the source", AT_LEAST_1] = None
    subset: Annotated[int | None, "limit of training images per class; the other splits stay whole", AT_LEAST_1] = None
    corrupt: Annotated[Literal["fail", "skip"], "what to do about unreadable images"] = "fail"
    verify: Annotated[
        Literal["full", "sample", "none"], "which image files are decoded before training, and compared at each start"
    ] = "full"
    cache: Annotated[
        Literal["auto", "none", "memory", "disk", "jpeg"],
        "keep decoded images; auto: memory if it fits; jpeg: smaller files on the disk, lossy",
    ] = "auto"
    cache_dir: Annotated[str | None, "for decoded images and what is known of files; null: the user's cache"] = None
    augment: Annotated[Choice, "augmentation recipe, optionally with changed settings"] = Choice("none")


@dataclass(frozen=True)
class OptimConfig:
    optimizer: Annotated[Literal["sgd", "adam", "adamw", "adagrad", "rmsprop"], "update rule"] = "adam"
    learning_rate: Annotated[float, "peak learning rate", POSITIVE] = 1e-3
    learning_rate_batch: Annotated[
        int | None,
        "the batch size that learning_rate is for; another one changes it by the ratio (sgd) or by its square root;"
        " null: not changed",
        AT_LEAST_1,
    ] = None
    momentum: Annotated[float, "for sgd and rmsprop", FRACTION] = 0.0
    nesterov: Annotated[bool, "Nesterov momentum, for sgd"] = False
    weight_decay: Annotated[float, "decoupled, per step, scaled by the learning rate; kernels only", AT_LEAST_0] = 0.0
    schedule: Annotated[
        Literal["constant", "step", "exponential", "cosine", "one_cycle", "plateau"], "learning rate over time"
    ] = "constant"
    warmup_epochs: Annotated[float, "epochs of a linear rise to the peak at the start", AT_LEAST_0] = 0.0
    step_epochs: Annotated[int, "epochs between the drops of step", AT_LEAST_1] = 7
    gamma: Annotated[float, "factor per drop (step, plateau) or per epoch (exponential)", POSITIVE] = 0.1
    plateau_patience: Annotated[int, "epochs without a better validation loss before plateau drops", AT_LEAST_1] = 5
    clip_norm: Annotated[float | None, "largest norm of the whole gradient; null: no clipping", POSITIVE] = None


@dataclass(frozen=True)
class TrainConfig:
    epochs: Annotated[int, "passes over the training split", AT_LEAST_1] = 10
    batch_size: Annotated[
        BatchSize, "images a step; auto: the largest power of 2 that fits in memory", AUTO_OR_AT_LEAST_1
    ] = 128
    steps_per_call: Annotated[
        int | Literal["auto"],
        "steps between two looks at the loss; auto: several if that is faster",
        AUTO_OR_AT_LEAST_1,
    ] = "auto"
    on_device: Annotated[
        Literal["auto", "yes", "no"],
        "keep the training images on the devices; auto: on GPUs, if they take a quarter of the free memory at most",
    ] = "auto"
    xla: Annotated[bool, "compile the whole step by XLA, on one device; doctor --gpu measures whether it gains"] = False
    loss: Annotated[
        Literal["cross_entropy", "focal"], "focal: images that the network knows count less; val_loss: cross-entropy"
    ] = "cross_entropy"
    focal_gamma: Annotated[float, "how much less: the cross-entropy times (1 - p)^gamma", POSITIVE] = 2.0
    label_smoothing: Annotated[
        float, "probability spread over all classes; of several labels an image, between yes and no", FRACTION
    ] = 0.0
    class_weights: Annotated[
        Literal["none", "balanced"],
        "balanced: inverse to the class's frequency, or to that of each label and of its absence",
    ] = "none"
    logit_adjustment: Annotated[
        float,
        "for unequal classes: this times log of the class's frequency is added to the logits in the loss; 1 is"
        " usual, 0 off",
        AT_LEAST_0,
    ] = 0.0
    ema: Annotated[float | None, "decay of an average of the weights, used for validation and saved", FRACTION] = None
    early_stopping: Annotated[
        int | None, "epochs without improvement after which training stops; null: never", AT_LEAST_1
    ] = None
    monitor: Annotated[
        Literal["auto", "val_accuracy", "val_map", "val_loss"],
        "what chooses the best epoch; auto: val_accuracy, val_map with several labels an image, or val_loss with fewer"
        " than 300 validation images",
    ] = "auto"
    overfit_batch: Annotated[bool, "train on one batch alone, without augmentation"] = False
    memorise: Annotated[
        bool, "with overfit_batch: without dropout, until the batch is memorised; validates on the batch, reads no test"
    ] = False
    checkpoint_minutes: Annotated[float, "longest time between checkpoints inside an epoch", POSITIVE] = 10.0


@dataclass(frozen=True)
class FinetuneConfig:
    freeze_upto: Annotated[
        int | str,
        "what is frozen: a stage or a layer with all before it; a number of weighted layers from the input (negative:"
        " counted from the end); all: the whole backbone; 0: nothing",
    ] = 0
    strategy: Annotated[
        Literal["fixed", "staged", "gradual"],
        "staged: the head alone first, then all that is not frozen; gradual: then one more stage at a time",
    ] = "fixed"
    head_epochs: Annotated[int, "epochs of staged and gradual with the head alone", AT_LEAST_1] = 1
    unfreeze_epochs: Annotated[int, "epochs of gradual before the next stage is trained", AT_LEAST_1] = 1
    stage_decay: Annotated[float, "factor of the learning rate from a stage to the one before it", SHARE] = 1.0
    features: Annotated[
        Literal["auto", "none", "memory", "disk"],
        "keep the outputs of the frozen part, computed once; auto: memory if it fits; disk: in data.cache_dir",
    ] = "auto"
    features_dtype: Annotated[
        Literal["auto", "bfloat16"], "number format of what is kept; auto: as computed, to the bit"
    ] = "auto"
    augment_views: Annotated[
        int,
        "augmented views of each image, used in turn, one per epoch; they can be kept; 0: new ones every epoch",
        AT_LEAST_0,
    ] = 0


@dataclass(frozen=True)
class TrackingConfig:
    wandb: Annotated[Literal["auto", "online", "offline", "off"], "auto: online with a key, else offline"] = "auto"
    tensorboard: Annotated[bool, "write TensorBoard's event files into the run folder"] = False
    project: Annotated[str, "W&B project"] = "keras_cnn"
    entity: Annotated[str | None, "W&B user or team"] = None
    group: Annotated[str | None, "W&B group"] = None


DEVICES_HELP = "auto: every GPU; cpu; a number of GPUs; GPU numbers, 0,1; or cpu:N, N logical devices on the CPU"


@dataclass(frozen=True)
class Config:
    name: Annotated[str, "names the run folder", FILE_NAME] = "run"
    seed: Annotated[int, "decides the split, the order, the weights and the augmentations", SEED] = 1
    precision: Annotated[
        Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"],
        "auto: the 16-bit format that the hardware has, else float32",
    ] = "auto"
    deterministic: Annotated[Literal["auto", "yes", "no"], "same bytes from the same seed; auto: yes on CPU"] = "auto"
    devices: Annotated[int | str, DEVICES_HELP] = "auto"
    data: DataConfig = DataConfig()
    model: Annotated[Choice, "network and its options"] = Choice("five_block")
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    finetune: FinetuneConfig = FinetuneConfig()
    tracking: TrackingConfig = TrackingConfig()
    published: Annotated[
        str | tuple[PublishedNumber, ...] | None,
        "REPORT/EXPERIMENT of keras_cnn/report/published/, or figures to compare with",
    ] = None


_TABLES = ("csv", "parquet")
_OF_FILES = ("folder", *_TABLES)
# Field -> (field that it depends on, values of that field for which it has an effect).
ACTS_WITH = {
    "optim.momentum": ("optim.optimizer", ("sgd", "rmsprop")),
    "optim.nesterov": ("optim.optimizer", ("sgd",)),
    "optim.warmup_epochs": ("optim.schedule", ("constant", "step", "exponential", "cosine", "plateau")),
    "optim.step_epochs": ("optim.schedule", ("step",)),
    "optim.gamma": ("optim.schedule", ("step", "exponential", "plateau")),
    "optim.plateau_patience": ("optim.schedule", ("plateau",)),
    "train.focal_gamma": ("train.loss", ("focal",)),
    "train.logit_adjustment": ("train.overfit_batch", (False,)),
    "data.augment.name": ("train.overfit_batch", (False,)),
    "train.checkpoint_minutes": ("train.overfit_batch", (False,)),  # overfit_batch has one step per epoch
    "finetune.head_epochs": ("finetune.strategy", ("staged", "gradual")),
    "finetune.unfreeze_epochs": ("finetune.strategy", ("gradual",)),
    "finetune.features_dtype": ("finetune.features", ("auto", "memory", "disk")),
    "finetune.augment_views": ("train.overfit_batch", (False,)),
    "data.corrupt": ("data.source", _OF_FILES),
    "data.verify": ("data.source", _OF_FILES),
    "data.cache": ("data.source", _OF_FILES),
    **{f"data.table.{column.name}": ("data.source", _TABLES) for column in fields(TableColumns)},
    "data.validation": ("the source's own splits", ("train", "train, test")),
    "data.test": ("the source's own splits", ("train", "train, validation")),
}

# Section of a config -> name -> builder: {"model": {"net1": builder, ...}, "data.augment": {...}}
Builders = Mapping[str, Mapping[str, Callable]]


def unread_builder() -> None:
    """Stands for a builder of which only the name is known, because importing it would take seconds."""


PUBLISHED = Path(__file__).parents[1] / "report" / "published"  # one YAML file per publication
