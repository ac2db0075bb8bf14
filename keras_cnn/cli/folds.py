"""The command line of `--folds K`, a cross-validation by train.py, finetune.py or detect.py --train."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_cnn.cli.conclusion import conclude_folds
from keras_cnn.cli.parser import Parser
from keras_cnn.cli.sweep import is_sweep
from keras_cnn.config import Config
from keras_cnn.errors import InputError
from keras_cnn.run_folder import shell_command
from keras_cnn.sweeps.prewarmed_workers import PrewarmedWorkers
from keras_cnn.tensorflow_import import import_tensorflow

NOT_FOR_FOLDS = (
    "find_learning_rate",
    "overfit_batch",
    "options",
    "hosts",
    "sweep",
    "compare",
    "join",
    "finish",
    "run_cap",
)


def add_options(parser: Parser, *, workers: bool) -> None:
    """Adds --folds, and --workers to a program that has no other use for it."""
    parser.option(
        "--folds", type=int, metavar="K", help="cross-validation: hold out each of K folds once, in K runs of one sweep"
    )
    if workers:
        parser.option("--workers", type=int, metavar="N", help="processes of --folds, which share the cores; default 1")


def is_asked_for(chosen: argparse.Namespace) -> bool:
    """Whether the arguments ask for a cross-validation, a new one or one to resume."""
    return chosen.folds is not None or (chosen.resume not in (None, Path()) and is_folds(chosen.resume))


def is_folds(folder: Path) -> bool:
    """Whether a folder is that of a cross-validation. Raises InputError for a damaged sweep."""
    if not is_sweep(folder):
        return False
    from keras_cnn.sweeps import sweep_file

    return bool(sweep_file.read_sweep(folder / "sweep.yaml").folds)


def start(
    chosen: argparse.Namespace,
    overrides: list[str],
    file: Path | None,
    program: str,
    *,
    kind: type = Config,
    check: Callable[[Any], None] = lambda config: None,
) -> None:
    """Trains every fold, or goes on with those that are left, and writes what they say together.

    `file` is the config of a new one, of the class `kind`; `check` raises InputError for a config that is not for the
    program.
    """
    _check(chosen, overrides)
    workers = 1 if chosen.workers is None else chosen.workers
    with PrewarmedWorkers(0 if chosen.dry_run else workers) as ready:
        import_tensorflow()
        from keras_cnn.sweeps import folds, local, study

        if chosen.dry_run:
            folds.dry_run(_needed(file), overrides, chosen.folds, kind, check)
            return
        if chosen.resume is None:
            begun = folds.create(_needed(file), overrides, chosen.folds, kind, run_dir=chosen.run_dir, check=check)
        else:
            begun = study.Study(chosen.resume)
        if not begun.ended():
            way_on = shell_command(program, "--resume", begun.folder)
            local.run(begun, workers, is_new=chosen.resume is None, resume=way_on, ready=ready)
    conclude_folds(begun.folder)


def _needed(file: Path | None) -> Path:
    assert file is not None
    return file


def _check(chosen: argparse.Namespace, overrides: list[str]) -> None:
    for name in NOT_FOR_FOLDS:
        if getattr(chosen, name, None):
            raise InputError(f"command line: --{name.replace('_', '-')} does not fit --folds")
    if chosen.workers is not None and chosen.workers < 1:
        raise InputError(f"command line: --workers {chosen.workers}: expected a number from 1")
    if chosen.folds is not None and chosen.folds < 2:
        raise InputError(f"command line: --folds {chosen.folds}: expected at least 2 folds")
    if chosen.resume is None:
        return
    given = {"--folds": chosen.folds, "--dry-run": chosen.dry_run, "--run-dir": chosen.run_dir}
    given |= {" ".join(overrides): overrides, str(getattr(chosen, "config", None)): getattr(chosen, "config", None)}
    for name, value in given.items():
        if value:
            raise InputError(f"command line: {name} does not fit --resume, which takes the folds as they were begun")
