"""Cross-validation as a sweep: a grid whose only parameter is the fold that is held out, so each run is a trial."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from keras_cnn import config as config_module
from keras_cnn.config import Config
from keras_cnn.config.yaml_file import dumped
from keras_cnn.errors import InputError
from keras_cnn.loading import BUILDERS, load_dataset
from keras_cnn.messages import log_sentence, logger
from keras_cnn.models import custom
from keras_cnn.run_folder import RunFolder
from keras_cnn.sweeps import sweep_file
from keras_cnn.sweeps.space import FOLD, SECTION, Sweep, fold_names
from keras_cnn.sweeps.study import Study
from keras_cnn.sweeps.worker import trial_config
from keras_cnn.tasks.detection import setup as box_setup
from keras_cnn.tasks.detection import task as detection
from keras_cnn.tasks.preparing import prepare
from keras_cnn.training import experiment
from keras_cnn.training.experiment import TrainingCost
from keras_cnn.training.task import Prepare

LEAST = 2
Check = Callable[[Any], None]  # raises InputError for a config that the program does not train


def create(
    file: Path | Mapping[str, Any] | None,
    overrides: Sequence[str],
    count: int,
    kind: type = Config,
    *,
    run_dir: Path | None = None,
    check: Check = lambda config: None,
) -> Study:
    """The study of a cross-validation in a new folder, `run_dir` or runs/NAME-folds; reads the images and cuts them.

    file: the config that all folds start from, of the class `kind`; `overrides` change it.

    Raises InputError for a wrong config, for images that cannot be read, and for too few images; nothing is left then.
    """
    with _planned(file, overrides, count, kind, check) as (sweep, base, first):
        counts = _images(first)
        held, rest = counts.pop("test"), ", ".join(f"{images:,} {name}" for name, images in counts.items())
        logger.info(f"folds     {count}: the first has {held:,} images held out, {rest}")
        with RunFolder.create(f"{base.name}-folds", path=run_dir) as folder:
            return Study.create(folder.path, sweep, config_module.dump(_with_own_copy(base, folder.path)), base.seed)


def _with_own_copy(base: Any, folder: Path) -> Any:
    """The config with a copy in `folder` of the network that comes from a file, from which every fold starts."""
    if not isinstance(base, Config) or base.model.name != custom.NAME:
        return base
    copy = folder.resolve() / custom.INITIAL
    shutil.copyfile(base.model.options["file"], copy)
    return replace(base, model=replace(base.model, options={**base.model.options, "file": str(copy)}))


def dry_run(
    file: Path | Mapping[str, Any] | None,
    overrides: Sequence[str],
    count: int,
    kind: type = Config,
    check: Check = lambda config: None,
) -> TrainingCost:
    """Logs what the run of the first fold would do, and returns its cost. Raises InputError as `create` does."""
    with _planned(file, overrides, count, kind, check) as (_, _, first):
        logger.info(f"folds     {count} runs; what the first one would do")
        return experiment.dry_run(first, cast(Prepare, prepare if isinstance(first, Config) else detection.prepare))


@contextlib.contextmanager
def _planned(
    file: Path | Mapping[str, Any] | None, overrides: Sequence[str], count: int, kind: type, check: Check
) -> Iterator[tuple[Sweep, Any, Any]]:
    """The sweep, the config that all folds start from, and that of the first fold."""
    if count < LEAST:
        raise InputError(f"--folds {count}: expected at least {LEAST} folds")
    base = config_module.load(file, overrides, BUILDERS if kind is Config else {}, kind)
    check(base)
    if base.data.fold is not None:
        raise InputError(f"--folds {count} and data.fold {base.data.fold}: expected one of the two")
    if isinstance(base, Config) and base.train.overfit_batch:
        raise InputError(f"--folds {count} with train.overfit_batch: expected a training on all images")
    with tempfile.TemporaryDirectory() as folder:
        place, base_file = Path(folder) / "folds.yaml", Path(folder) / "base.yaml"
        base_file.write_text(config_module.dump(base), encoding="utf-8")
        metric = {"name": "accuracy" if kind is Config else "map", "goal": "maximize"}
        content = {"method": "grid", "metric": metric, "parameters": {FOLD: {"values": fold_names(count)}}}
        if kind is Config:
            content |= {SECTION: {"base": str(base_file)}}
        place.write_text(dumped(content), encoding="utf-8")
        sweep = sweep_file.read_sweep(place)
        yield sweep, base, trial_config(sweep, base_file, {FOLD: fold_names(count)[0]})


def _images(first: Any) -> dict[str, int]:
    """The number of images in each split of the first fold; logs what a reader of the results must know about them.

    Raises InputError also for a network from a file that does not fit the images.
    """
    if isinstance(first, Config):
        dataset = load_dataset(first)
        if first.model.name == custom.NAME:
            custom.custom(dataset.image_shape, len(dataset.classes), **first.model.options)
    else:
        dataset = box_setup.load_boxes(first)
    notes = [note for note in dataset.notes if not note.startswith(f"fold {first.data.fold}")]
    for note in notes:
        log_sentence("note", note)
    return {name: len(split) for name, split in dataset.splits.items()}
