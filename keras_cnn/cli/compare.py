"""The command line of `python finetune.py --compare`."""

import argparse
import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from keras_cnn import run_folder
from keras_cnn.cli.parser import Parser
from keras_cnn.cli.sweep import is_sweep
from keras_cnn.config.shipped import described, find_config
from keras_cnn.errors import InputError
from keras_cnn.messages import counted, log_command, logger
from keras_cnn.operating_system import cores
from keras_cnn.sweeps.prewarmed_workers import PrewarmedWorkers
from keras_cnn.tensorflow_import import import_tensorflow

if TYPE_CHECKING:
    from keras_cnn.sweeps.space import Sweep

DEMONSTRATION = Path("quick")  # a comparison of the package
PARTLY = "partly"  # the recipe of the demonstration whose frozen part --freeze-upto sets
NOT_FOR_COMPARISONS = ("config", "find_learning_rate", "overfit_batch", "options")


def add_options(parser: Parser) -> None:
    parser.option(
        "--compare",
        type=Path,
        metavar="FILE",
        help="train every recipe of a grid, and compare them; a file or a comparison of the package",
    )
    parser.option("--yes", action="store_true", help="start a comparison whose largest recipe is above the limits")
    parser.option(
        "--workers", type=int, metavar="N", help="processes of --compare or --folds, which share the cores; default 1"
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


def main(chosen: argparse.Namespace, overrides: list[str], part: str | None = None) -> None:
    """Trains the recipes of a comparison (on resume the remaining ones) and writes its tables.

    `part` is the frozen part of the demonstration's recipe `partly`, as in --freeze-upto.
    """
    _check(chosen, overrides)
    if chosen.compare is not None:
        chosen.compare = find_config(chosen.compare, "comparison")
    workers = 1 if chosen.workers is None else chosen.workers
    with PrewarmedWorkers(0 if chosen.dry_run else workers) as ready:
        logger.info(f"reading   {described(chosen.compare or chosen.resume)}")
        import_tensorflow()
        _run(chosen, overrides, workers, ready, part)


def demonstrate(chosen: argparse.Namespace, overrides: list[str]) -> None:
    """Shows what pretraining buys on images that come with the package: frozen, partly frozen, all layers, scratch."""
    chosen.compare, part = DEMONSTRATION, chosen.freeze_upto
    logger.info("no network and no photos named: a demonstration of what pretraining buys, with")
    logger.info("ResNet8 pretrained on six classes of Fashion-MNIST, and 40 images of the other four")
    chosen.workers = chosen.workers or min(2, len(cores()))
    main(chosen, overrides, part)
    following = run_folder.shell_command("finetune", "PHOTOS", "--backbone", "mobilenetv2")
    log_command("next", following, "one folder a class")


def _with_part(sweep: "Sweep", part: str | None) -> "Sweep":
    """The demonstration with another frozen part in its recipe `partly`."""
    if part is None:
        return sweep
    table = sweep.names["recipe"]
    assert not isinstance(table, str)
    row = {**table[json.dumps(PARTLY)], "finetune.freeze_upto": part}
    return replace(sweep, names={**sweep.names, "recipe": {**table, json.dumps(PARTLY): row}})


def _check_part(part: str | None) -> None:
    """Raises InputError, with the nearest name, if the demonstration's network has no such part to freeze."""
    from keras_cnn import models
    from keras_cnn.config.yaml_file import parsed
    from keras_cnn.models import freezing

    if part is not None:
        freezing.frozen_layers(models.build("resnet8", (28, 28, 1), 10, weights="none"), parsed(part).value)


def _run(
    chosen: argparse.Namespace, overrides: list[str], workers: int, ready: PrewarmedWorkers, part: str | None
) -> None:
    from keras_cnn.analysis.recipes import check
    from keras_cnn.analysis.recipes_section import brief, write_comparison
    from keras_cnn.evaluation.repeats import ENOUGH_PAIRS
    from keras_cnn.sweeps import local, plan, study, sweep_file

    if chosen.resume is not None:
        comparison = study.Study(chosen.resume)
        check(comparison.sweep)
        if not comparison.ended():
            local.run(comparison, workers, resume=_resume(comparison.folder), ready=ready)
    else:
        sweep = sweep_file.read_sweep(chosen.compare)
        check(sweep)
        _check_part(part)
        if sweep.repeats < ENOUGH_PAIRS:
            logger.info(f"note      {counted(sweep.repeats, 'seed')} a recipe: no difference can be conclusive below")
            logger.info(f"          {ENOUGH_PAIRS} (keras_cnn: {{repeats: {ENOUGH_PAIRS}}} in the file)")
        if chosen.dry_run:
            plan.dry_run(chosen.compare, overrides, None)
            return
        comparison = plan.create(
            chosen.compare,
            overrides,
            run_dir=chosen.run_dir,
            accepted=chosen.yes,
            change=functools.partial(_with_part, part=part),
        )
        local.run(comparison, workers, is_new=True, resume=_resume(comparison.folder), ready=ready)
    section, files = write_comparison(comparison)
    for line in ("", *brief(section)):
        logger.info(line)
    written = files[0].parent
    log_command("all", str(written / "comparison.txt"), f"{len(files)} files there: tables, picture")


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
