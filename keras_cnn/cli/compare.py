"""The command line of `python finetune.py --compare`."""

import argparse
from pathlib import Path

from keras_cnn import run_folder
from keras_cnn.cli.parser import Parser
from keras_cnn.cli.sweep import is_sweep
from keras_cnn.config.shipped import find_config
from keras_cnn.errors import InputError
from keras_cnn.messages import logger
from keras_cnn.sweeps.prewarmed_workers import PrewarmedWorkers
from keras_cnn.tensorflow_import import import_tensorflow

NOT_FOR_COMPARISONS = ("config", "run_dir", "find_learning_rate", "overfit_batch", "options")


def add_options(parser: Parser) -> None:
    parser.option(
        "--compare",
        type=Path,
        metavar="FILE",
        help="train every recipe of a grid, and compare them; a file or a comparison of the package",
    )
    parser.option(
        "--workers", type=int, metavar="N", help="processes of a comparison, which share the cores; default 1"
    )


def is_asked_for(chosen: argparse.Namespace) -> bool:
    """Whether the arguments ask for a comparison. InputError if they name one of its runs, or an option needs one."""
    going_on = chosen.resume not in (None, Path())
    if going_on and is_sweep(chosen.resume.parent):
        sweep = chosen.resume.parent
        raise InputError(f"{chosen.resume}: a run of {sweep}; expected the comparison itself: --resume {sweep}")
    wanted = chosen.compare is not None or (going_on and is_sweep(chosen.resume))
    if chosen.workers is not None and not wanted:
        raise InputError("command line: --workers is for comparisons; expected --compare with it")
    return wanted


def main(chosen: argparse.Namespace, overrides: list[str]) -> None:
    """Trains the recipes of a comparison (on resume the remaining ones) and writes its tables."""
    _check(chosen, overrides)
    if chosen.compare is not None:
        chosen.compare = find_config(chosen.compare, "comparison")
    workers = 1 if chosen.workers is None else chosen.workers
    with PrewarmedWorkers(0 if chosen.dry_run else workers) as ready:
        import_tensorflow()
        _run(chosen, overrides, workers, ready)


def _run(chosen: argparse.Namespace, overrides: list[str], workers: int, ready: PrewarmedWorkers) -> None:
    from keras_cnn.analysis.recipes import check
    from keras_cnn.analysis.recipes_section import write_comparison
    from keras_cnn.sweeps import local, plan, study, sweep_file

    if chosen.resume is not None:
        comparison = study.Study(chosen.resume)
        check(comparison.sweep)
        if not comparison.ended():
            local.run(comparison, workers, resume=_resume(comparison.folder), ready=ready)
    else:
        check(sweep_file.read_sweep(chosen.compare))
        if chosen.dry_run:
            plan.dry_run(chosen.compare, overrides, None)
            return
        comparison = plan.create(chosen.compare, overrides)
        local.run(comparison, workers, is_new=True, resume=_resume(comparison.folder), ready=ready)
    text, files = write_comparison(comparison)
    for line in ("", *text.splitlines()):
        logger.info(line)
    logger.info(f"comparison  {files[0].parent}   ({len(files)} files: {', '.join(file.name for file in files)})")


def _check(chosen: argparse.Namespace, overrides: list[str]) -> None:
    for name in NOT_FOR_COMPARISONS:
        if getattr(chosen, name):
            given = chosen.config if name == "config" else f"--{name.replace('_', '-')}"
            hint = "; its file names the config, as keras_cnn.base" if name == "config" else ""
            raise InputError(f"command line: {given} does not fit a comparison{hint}")
    if chosen.workers is not None and chosen.workers < 1:
        raise InputError(f"command line: --workers {chosen.workers}: expected a number from 1")
    if chosen.compare is not None and is_sweep(chosen.compare):
        raise InputError(
            f"{chosen.compare}: a comparison that was begun; expected a file, or --resume {chosen.compare}"
        )
    if chosen.resume is None:
        return
    for name, given in (("--compare", chosen.compare), ("--dry-run", chosen.dry_run), (" ".join(overrides), overrides)):
        if given:
            raise InputError(f"command line: {name} does not fit --resume, which takes the comparison as it was begun")


def _resume(folder: Path) -> str:
    return run_folder.shell_command("finetune", "--resume", folder)
