"""The command line of `python finetune.py --probe`."""

import argparse
import functools
from pathlib import Path

from keras_cnn import config as config_module
from keras_cnn import run_folder
from keras_cnn.cli import early
from keras_cnn.cli.parser import Parser
from keras_cnn.config.shipped import described, find_config
from keras_cnn.errors import InputError
from keras_cnn.messages import log_command, logger
from keras_cnn.tensorflow_import import import_tensorflow

NOT_FOR_PROBES = (
    *("resume", "dry_run", "find_learning_rate", "overfit_batch", "options", "hosts", "compare", "export"),
    *("folds", "workers", "yes", "formats", "backbone", "weights", "freeze_upto", "unfreeze_last"),
)


def add_options(parser: Parser) -> None:
    parser.option(
        "--probe",
        nargs="?",
        const="",
        metavar="NAMES",
        help="rank backbones for these images without training: all whose weights are at hand, or NAME,NAME=FILE,...",
    )


def main(chosen: argparse.Namespace, overrides: list[str]) -> None:
    """Ranks backbones on the images of the config, and writes the ranking into a folder of its own."""
    for name in NOT_FOR_PROBES:
        if getattr(chosen, name, None):
            raise InputError(f"command line: --{name.replace('_', '-')} does not fit --probe, which trains no network")
    file = chosen.config or find_config(Path("finetune"))
    early.check_config(file, overrides)
    logger.info(f"config    {described(file)}")
    import_tensorflow()
    from keras_cnn.loading import BUILDERS
    from keras_cnn.report import backbones
    from keras_cnn.tasks.classification.backbone_ranking import candidates, rank
    from keras_cnn.training.interrupt import Interrupt

    config = config_module.load(file, overrides, BUILDERS)
    found = candidates(chosen.probe, config.data.image_size)
    with run_folder.RunFolder.create(f"{config.name}-probe", path=chosen.run_dir) as folder, Interrupt() as interrupt:
        ranking = rank(config, found, check_interrupt=interrupt.check)
        backbones.write(folder.path, ranking.as_json())
        best = ranking.table.iloc[0]
        backbones.write_files(folder.path)
    for line in backbones.as_text(backbones.read(folder.path)):
        logger.info(line)
    log_command("page", run_folder.shell_command("report", folder.path), "the ranking as a page")
    tune = functools.partial(run_folder.shell_command, "finetune", "--data.source", config.data.source)
    log_command("next", tune("--backbone", best["backbone"], "--weights", best["weights"]), "fine-tunes the first")
