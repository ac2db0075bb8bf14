"""The config of a training on boxes, loaded as strictly as any other (see `keras_cnn.config`)."""

from dataclasses import dataclass
from typing import Annotated, Literal

from keras_cnn.checking import Limit
from keras_cnn.config import AT_LEAST_1, DEVICES_HELP, FILE_NAME, FRACTION, POSITIVE, SEED, OptimConfig, TrackingConfig
from keras_cnn.config.schema import AUTO_OR_AT_LEAST_1, FOLD_HELP, GROUP_HELP, BatchSize

OPTIM = OptimConfig(learning_rate=1e-3, schedule="cosine", warmup_epochs=1.0, clip_norm=10.0)
TRACKING = TrackingConfig()
STRIDE = 32  # pixels between the cells of YOLO's coarsest map
SIZE = Limit(f"a multiple of {STRIDE}", lambda v: v >= STRIDE and v % STRIDE == 0)
CHANCE = Limit("a number from 0 to 1", lambda v: 0 <= v <= 1)
BOX_GROUP_HELP = GROUP_HELP.replace("a column of the table", "a field of COCO's images, as location")
HUE = Limit("a number from 0 to 0.5", lambda v: 0 <= v <= 0.5)


@dataclass(frozen=True)
class BoxData:
    """Annotated images and their splits."""

    source: Annotated[str, "coco:FILE.json, yolo:FOLDER or voc:FOLDER"] = "yolo:boxes"
    image_size: Annotated[int, "side of the network's images in pixels", SIZE] = 416
    group: Annotated[int | str | None, BOX_GROUP_HELP] = None
    fold: Annotated[str | None, FOLD_HELP] = None
    classes: Annotated[tuple[str, ...] | None, "only these classes, in this order; null: all"] = None
    validation: Annotated[int | float, "validation images, where the source has none: a count or a share", POSITIVE] = (
        0.1
    )
    test: Annotated[int | float, "test images, where the source has none: a count or a share", POSITIVE] = 0.1
    bad_boxes: Annotated[Literal["fail", "skip"], "what to do about boxes outside their image or without area"] = "fail"
    cache: Annotated[Literal["auto", "none", "memory"], "keep decoded images; auto: memory if they fit"] = "auto"


@dataclass(frozen=True)
class BoxModel:
    """The network, its starting weights and its anchors."""

    cfg: Annotated[str, "Darknet cfg with [yolo] sections, or the name yolov3 or yolov3-tiny"] = "yolov3-tiny"
    weights: Annotated[
        str, "none, or a Darknet weights file, whose layers before the heads are loaded where they fit"
    ] = "none"
    anchors: Annotated[Literal["kmeans", "cfg"], "kmeans: from the training boxes"] = "kmeans"


@dataclass(frozen=True)
class BoxAugment:
    """Random changes of the training images and their boxes."""

    mosaic: Annotated[float, "chance that four images are joined into one", CHANCE] = 0.5
    flip: Annotated[float, "chance that an image is mirrored left to right", CHANCE] = 0.5
    scale: Annotated[float, "an image grows or shrinks by up to this share", FRACTION] = 0.3
    aspect: Annotated[float, "an image is stretched by up to this share", FRACTION] = 0.1
    hue: Annotated[float, "colours turn by up to this share of the circle", HUE] = 0.1
    saturation: Annotated[float, "colours become stronger or weaker by up to this factor", AT_LEAST_1] = 1.5
    exposure: Annotated[float, "light becomes brighter or darker by up to this factor", AT_LEAST_1] = 1.5


@dataclass(frozen=True)
class BoxTrain:
    """The training itself."""

    epochs: Annotated[int, "passes over the training split", AT_LEAST_1] = 50
    batch_size: Annotated[
        BatchSize, "images per step; auto: the largest power of 2 that fits in memory", AUTO_OR_AT_LEAST_1
    ] = 16
    ignore_threshold: Annotated[
        float, "IoU above which a prediction without a box of its own is no mistake", CHANCE
    ] = 0.7
    ema: Annotated[float | None, "decay of an average of the weights, used for validation and saved", FRACTION] = None
    early_stopping: Annotated[int | None, "stop after as many epochs without improvement; null: never", AT_LEAST_1] = (
        None
    )
    monitor: Annotated[Literal["val_map", "val_map50", "val_loss"], "what chooses the best epoch"] = "val_map"
    checkpoint_minutes: Annotated[float, "longest time between checkpoints inside an epoch", POSITIVE] = 10.0


@dataclass(frozen=True)
class BoxConfig:
    """One training on boxes."""

    name: Annotated[str, "names the run folder", FILE_NAME] = "boxes"
    seed: Annotated[int, "decides the split, the order, the weights and the augmentations", SEED] = 1
    precision: Annotated[Literal["auto", "float32", "mixed_bfloat16"], "auto: mixed_bfloat16 where hardware has it"] = (
        "auto"
    )
    deterministic: Annotated[Literal["auto", "yes", "no"], "same bytes from the same seed; auto: yes on CPU"] = "auto"
    devices: Annotated[int | str, DEVICES_HELP] = "auto"
    data: BoxData = BoxData()
    model: BoxModel = BoxModel()
    augment: BoxAugment = BoxAugment()
    optim: OptimConfig = OPTIM
    train: BoxTrain = BoxTrain()
    tracking: TrackingConfig = TRACKING
