"""The command line of `python train.py`."""

import argparse
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_cnn import config as config_module
from keras_cnn import run_folder
from keras_cnn.checking import near_path
from keras_cnn.cli import early, folds, hosts, sweep
from keras_cnn.cli.conclusion import conclude, conclude_batch
from keras_cnn.cli.parser import Parser
from keras_cnn.config import Config, memorising
from keras_cnn.config.batch_size import as_resumed
from keras_cnn.config.fields import shown
from keras_cnn.config.shipped import described, find_config
from keras_cnn.distribution.ranks import ALONE
from keras_cnn.errors import InputError
from keras_cnn.messages import logger
from keras_cnn.tensorflow_import import import_tensorflow

EXAMPLES = """examples:
  python train.py                                              the embedded Fashion-MNIST, a minute or two
  python train.py photos/                                      your photos, one folder a class
  python train.py photos/ --epochs 10 --lr 1e-3 --batch-size 32     with changes
  python train.py cs7015_net1 --seed 7                         an experiment of a published report
  python train.py --resume                                     goes on with the last unfinished run

cross-validation:
  python train.py photos/ --folds 5                            five runs, each tested on a fifth of the photos
  python train.py labels.csv --folds 5 --data.group patient    a patient's photos are all in one fold

sweeps:
  python train.py --sweep                                      a small one on the embedded images, some minutes
  python train.py --sweep cs7015_net1 --dry-run                what a W&B sweep file would try, and what it costs
  python train.py --sweep cs6910 --run-cap 8 --workers 2       CS6910's sweep, 8 trials, two at a time
  python train.py --resume runs/cs6910                         goes on with it
  python train.py --sweep --finish                             its best trial again, and the test split once
"""


def main(arguments: list[str]) -> None:
    """`python train.py`: see its --help."""
    parser = Parser(prog="python train.py", description="Trains a CNN from scratch.", epilog=EXAMPLES)
    add_config(parser, "default")
    add_options(parser, resumes="a run or a sweep", shows="data, network and cost")
    folds.add_options(parser, workers=False)
    sweep.add_options(parser)
    parser.fields(config_module.names())
    chosen, overrides = parser.split(arguments)
    default = "default"
    if photos := photos_named(chosen, overrides):
        default, overrides = "photos", [*photos, *overrides]
    find_chosen_config(chosen)
    if folds.is_asked_for(chosen):
        start_folds(chosen, overrides, default)
        return
    if sweep.is_asked_for(chosen):
        sweep.start(chosen, early.with_sources(overrides))
        return
    start(chosen, overrides, default)


def photos_named(chosen: argparse.Namespace, overrides: list[str]) -> list[str]:
    """The override for photos or a table of labels in place of a config, which is then None; else [].

    InputError for a table that does not exist, the folder of a run or of a sweep, and a second data source.
    """
    folder = chosen.config
    if folder is None:
        return []
    source = early.as_source(str(folder))
    if source == str(folder) and not source.startswith(early.PHOTOS):
        if folder.suffix.lower() in early.TABLES:
            near = near_path(folder)
            raise InputError(f"{folder}: no such table of labels" + (f"; did you mean {near}?" if near else ""))
        return []
    for name, means in (("sweep.json", "a sweep"), ("config.yaml", "a run")):
        if (folder / name).is_file():
            raise InputError(f"{folder}: the folder of {means}; expected a config or photos, or: --resume {folder}")
    if any(word.partition("=")[0] == "--data.source" for word in overrides):
        raise InputError(f"command line: {folder} and --data.source (--data): expected one source of images")
    chosen.config = None
    return ["--data.source", source]


def add_config(parser: Parser, default: str) -> None:
    """Adds the config of a training as an argument and as --config; `default` is the shipped one used without it."""
    named = f"YAML file, name of a config of the package, folder of photos or table of labels; default: {default}"
    parser.add_argument("config", nargs="?", type=Path, help=named)
    parser.option("--config", type=Path, dest="named_config", metavar="CONFIG", help="the same, as an option")


def find_chosen_config(chosen: argparse.Namespace) -> None:
    """Sets `chosen.config` to the path of the file that the argument or --config names, or to None."""
    if chosen.config and chosen.named_config:
        raise InputError(f"command line: {chosen.config} and --config {chosen.named_config}: expected one of them")
    given = chosen.config or chosen.named_config
    chosen.config = find_config(given) if given else None


def add_options(parser: Parser, *, resumes: str, shows: str) -> None:
    """Adds the options of all training programs; `resumes` and `shows` go into the help of --resume and --dry-run."""
    parser.option("--run-dir", type=Path, metavar="DIR", help="run folder; default runs/NAME, or runs/NAME-2, ...")
    where = {"nargs": "?", "type": Path, "const": Path(), "metavar": "RUN"}
    parser.option("--resume", **where, help=f"go on with {resumes}; default the last run")
    parser.option(
        "--overfit-batch",
        action="store_true",
        help="can the network memorise one batch? no dropout or augmentation, no test",
    )
    parser.option("--find-learning-rate", action="store_true", help="learning-rate range test instead of training")
    hosts.add_options(parser)
    parser.option("--dry-run", action="store_true", help=f"print {shows}, and stop")
    parser.option("--options", action="store_true", help="list the fields of a config with type, default and meaning")
    parser.option("--debug", action="store_true", help="show the traceback of an error")


def start(
    chosen: argparse.Namespace,
    overrides: list[str],
    default: str,
    *,
    check: Callable[[Config], None] = lambda config: None,
) -> None:
    """Trains as the arguments say, with the shipped config `default` if they name none, or resumes a run.

    `check` raises InputError for a config that is not for this program.
    """
    for name in ("run_dir", "dry_run", "find_learning_rate"):
        if chosen.resume and getattr(chosen, name):
            option = name.replace("_", "-")
            raise InputError(f"command line: --resume goes on with training; --{option} does not fit it")
    overrides = [
        *(_memorising() if chosen.overfit_batch else []),
        *early.with_sources(overrides),
    ]
    file = chosen.config or find_config(Path(default))
    if not chosen.resume and not chosen.options:
        early.check_config(file, overrides)
        logger.info(f"config    {described(file)}")
    program = "finetune" if default == "finetune" else "train"
    if chosen.find_learning_rate and chosen.hosts:
        raise InputError("command line: --find-learning-rate runs on one host; --hosts does not fit it")
    alone = chosen.options or chosen.dry_run or chosen.find_learning_rate
    ranks = ALONE if alone else hosts.join(chosen, program)
    import_tensorflow()  # takes seconds; --help and wrong options do not need it
    from keras_cnn.loading import BUILDERS
    from keras_cnn.tasks.preparing import prepare
    from keras_cnn.training import experiment

    builders = BUILDERS
    if chosen.options:
        print(config_module.help_text(builders))
        return
    load, config = functools.partial(config_module.load, builders=builders), None
    if chosen.resume:
        make = functools.partial(resumed, chosen)
    else:
        config = load(file, overrides)
        check(config)
        if chosen.dry_run:
            experiment.dry_run(config, prepare)
            return
        ranks.require_same(config_module.flat(config))
        make = functools.partial(run_folder.RunFolder.create, config.name, path=chosen.run_dir)
    with hosts.shared_folder(ranks, make, program) as folder:  # removed if wrong input leaves it unused
        config = config or own_config(folder, chosen, overrides, load)
        if chosen.find_learning_rate:
            rate = experiment.find_learning_rate(config, folder, prepare)
            figure = folder.figures / "learning_rates.png"
            logger.info(f"suggested: --optim.learning_rate {rate:.2g}   (figure: {figure})")
        else:
            own = functools.partial(prepare, run=folder.path, ranks=ranks)  # it may have its first model in its folder
            watch = memorising.is_memorised if config.train.memorise else None
            metrics = experiment.train(config, folder, own, watch=watch, other_devices=names_devices(overrides))
            if ranks.rank == 0:
                (conclude_batch if config.train.memorise else conclude)(metrics, folder.path)


def start_folds(
    chosen: argparse.Namespace,
    overrides: list[str],
    default: str,
    *,
    check: Callable[[Config], None] = lambda config: None,
) -> None:
    """Trains a classifier once for each fold; the arguments are those of `start`."""
    file, overrides = None, early.with_sources(overrides)
    if chosen.folds is not None:
        file = chosen.config or find_config(Path(default))
        early.check_config(file, overrides)
        logger.info(f"config    {described(file)}")
    folds.start(chosen, overrides, file, "finetune" if default == "finetune" else "train", check=check)


def _memorising() -> list[str]:
    """The overrides of --overfit-batch; those of the command line come after them."""
    return [f"--{name}={shown(value)}" for name, value in memorising.SETTINGS.items()]


def names_devices(overrides: list[str]) -> bool:
    """Whether the command line says on which devices to train."""
    return any(word.partition("=")[0] == "--devices" for word in overrides)


def resumed(chosen: argparse.Namespace, detecting: bool = False) -> run_folder.RunFolder:
    """The run to resume, locked; `detecting`: whether it trains on boxes."""
    path = run_folder.latest_unfinished(detecting=detecting) if chosen.resume == Path() else chosen.resume
    folder = run_folder.RunFolder.open(path)
    if run_folder.is_detection_run(path) is not detecting:
        raise InputError(f"{path}: a run of {'train.py or finetune.py' if detecting else 'detect.py'}; go on with that")
    return folder.lock()


def own_config(
    folder: run_folder.RunFolder,
    chosen: argparse.Namespace,
    overrides: list[str],
    load: Callable[[Path, list[str]], Any],
) -> Any:
    """The config of a run to resume, which `load` reads. InputError if the run is complete or the overrides differ.

    Only its devices may be others.
    """
    path = folder.path
    if folder.finished:
        raise InputError(f"{path}: this run is complete; to train longer, start a new one with a larger --train.epochs")
    stored = load(folder / "config.yaml", [])
    wanted = as_resumed(load(chosen.config or folder / "config.yaml", overrides), stored)
    if names_devices(overrides):
        stored = dataclasses.replace(stored, devices=wanted.devices)
    if changed := config_module.differences(stored, wanted):
        listed = "; ".join(changed)
        raise InputError(f"{path}: --resume goes on with the run's own config, but these fields differ: {listed}")
    return stored
