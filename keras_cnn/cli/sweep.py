"""The command line of `keras-cnn sweep`, which is also that of `train.py --sweep`, `--join`, `--finish`, `--resume`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from keras_cnn.cli import early
from keras_cnn.cli.conclusion import conclude, conclude_folds
from keras_cnn.cli.parser import Parser
from keras_cnn.config import names
from keras_cnn.config.shipped import described, find_config
from keras_cnn.errors import InputError
from keras_cnn.messages import logger
from keras_cnn.sweeps.prewarmed_workers import PLACEHOLDER, PrewarmedWorkers, receive_assignment
from keras_cnn.tensorflow_import import import_tensorflow

if TYPE_CHECKING:
    from keras_cnn.sweeps.study import Study

DEFAULT_SWEEP = Path("quick")
NOT_FOR_SWEEPS = ("find_learning_rate", "overfit_batch", "options")
CONTINUING = ("resume", "join", "finish")  # options that continue an existing sweep


EXAMPLES = """examples:
  keras-cnn sweep                                     a small one on the embedded images, some minutes
  keras-cnn sweep cs7015_net1 --dry-run               what a W&B sweep file would try, and what it costs
  keras-cnn sweep cs6910 --run-cap 8 --workers 2      CS6910's sweep, 8 trials, two at a time
  keras-cnn sweep my_sweep.yaml --epochs 3            a file of your own, with a setting for all trials
  keras-cnn sweep --resume runs/cs6910                goes on with it
  keras-cnn sweep --finish                            its best trial again, and the test split once
"""


def main(arguments: list[str]) -> None:
    """`keras-cnn sweep`: see its --help."""
    parser = Parser(prog="keras-cnn sweep", description="Tries many settings of a training.", epilog=EXAMPLES)
    parser.add_argument(
        "sweep", nargs="?", type=Path, default=Path(), help="W&B sweep file, or a sweep of the package; default: quick"
    )
    resume = {"nargs": "?", "type": Path, "const": Path(), "metavar": "SWEEP"}
    parser.option("--resume", **resume, help="go on with a sweep; default the last one")
    _add_shared_options(parser)
    parser.option("--run-dir", type=Path, metavar="DIR", help="the sweep's folder; default runs/NAME")
    parser.option("--dry-run", action="store_true", help="print the plan, and stop")
    parser.option("--debug", action="store_true", help="show the traceback of an error")
    parser.fields(names())
    chosen, overrides = parser.split(arguments)
    start(chosen, early.with_sources(overrides))


def add_options(parser: Parser) -> None:
    """Adds the options with which `train.py` runs sweeps."""
    shipped = "run a W&B sweep file, or a sweep of the package; default quick"
    parser.option("--sweep", nargs="?", type=Path, const=Path(), metavar="FILE", help=shipped)
    _add_shared_options(parser)


def _add_shared_options(parser: Parser) -> None:
    parser.option("--yes", action="store_true", help="start a sweep whose largest cell is above the limits")
    parser.option("--workers", type=int, metavar="N", help="processes of a sweep or --folds, on all cores; default 1")
    parser.option("--run-cap", type=int, metavar="N", help="number of trials, in place of the sweep file's run_cap")
    parser.option("--join", type=Path, metavar="SWEEP", help="be one more worker of a sweep's folder")
    parser.option(
        "--finish",
        nargs="?",
        type=Path,
        const=Path(),
        metavar="SWEEP",
        help="train a sweep's best trial again and read the test split, once; default the last sweep",
    )


def is_asked_for(chosen: argparse.Namespace) -> bool:
    """Whether the arguments ask for a sweep. InputError if they name a trial of one, or if an option needs one."""
    is_sweep_command = chosen.sweep is not None or chosen.join is not None or chosen.finish is not None
    if chosen.resume is not None and chosen.resume != Path():
        if is_sweep(chosen.resume.parent):
            sweep = chosen.resume.parent
            raise InputError(f"{chosen.resume}: a trial of {sweep}; expected the sweep itself: --resume {sweep}")
        is_sweep_command = is_sweep_command or is_sweep(chosen.resume)
    for name in ("workers", "run_cap", "yes"):
        if not is_sweep_command and getattr(chosen, name) not in (None, False):
            raise InputError(f"command line: {_option(name)} is for sweeps; expected --sweep with it")
    return is_sweep_command


def start(chosen: argparse.Namespace, overrides: list[str]) -> None:
    """Starts, resumes, joins or finishes a sweep, or prints the plan of one."""
    _check(chosen, overrides)
    if chosen.join is not None:
        _join(chosen.join)
        return
    if chosen.finish is None and chosen.resume is None:
        chosen.sweep = find_config(DEFAULT_SWEEP if chosen.sweep == Path() else chosen.sweep, "sweep")
    workers = 1 if chosen.workers is None else chosen.workers
    trains = chosen.finish is None and not chosen.dry_run
    with PrewarmedWorkers(workers if trains else 0) as ready:
        if chosen.finish is None and chosen.resume is None:
            logger.info(f"reading   {described(chosen.sweep)}")
        import_tensorflow()
        _run(chosen, overrides, workers, ready)


def _join(sweep: Path) -> None:
    waits = str(sweep) == PLACEHOLDER
    import_tensorflow(counts_devices=not waits)
    from keras_cnn.sweeps import study, worker

    if waits:
        sweep = receive_assignment()
        import_tensorflow()  # counts this worker's devices, which are known only now
    if sweep is not None:
        worker.work(study.Study(sweep))


def _run(chosen: argparse.Namespace, overrides: list[str], workers: int, ready: PrewarmedWorkers) -> None:
    from keras_cnn.sweeps import local, plan, study

    if chosen.finish is not None:
        complete = study.Study(_folder(chosen.finish, "--finish"))
        conclude(local.finish(complete), complete.folder / "best")
    elif chosen.resume is not None:
        begun = study.Study(_folder(chosen.resume, "--resume"))
        local.resume(begun, workers, ready)
        _conclude(begun)
    elif chosen.dry_run:
        plan.dry_run(chosen.sweep, overrides, chosen.run_cap)
    else:
        begun = plan.create(
            chosen.sweep, overrides, run_cap=chosen.run_cap, run_dir=chosen.run_dir, accepted=chosen.yes
        )
        local.run(begun, workers, is_new=True, ready=ready)
        _write_page(begun.folder)


def _conclude(begun: "Study") -> None:
    if begun.sweep.folds:  # of `keras-cnn sweep --resume`
        conclude_folds(begun.folder)
    else:
        _write_page(begun.folder)


def _write_page(folder: Path) -> None:
    """Writes report.html and analysis/ of a sweep that has ended."""
    from keras_cnn.report.pages import write_pages

    write_pages([folder], None)


def _check(chosen: argparse.Namespace, overrides: list[str]) -> None:
    for name in NOT_FOR_SWEEPS:
        if getattr(chosen, name, None):
            raise InputError(f"command line: {_option(name)} does not fit a sweep")
    if chosen.workers is not None and chosen.workers < 1:
        raise InputError(f"command line: --workers {chosen.workers}: expected a number from 1")
    if getattr(chosen, "config", None):
        raise InputError(
            f"command line: {chosen.config}: a sweep names its config as keras_cnn.base in its own file; expected none"
        )
    if chosen.sweep and is_sweep(chosen.sweep):
        raise InputError(f"{chosen.sweep}: a sweep that was begun; expected a file, or: --resume {chosen.sweep}")
    _check_going_on(chosen, overrides)


def _check_going_on(chosen: argparse.Namespace, overrides: list[str]) -> None:
    options = [_option(name) for name in CONTINUING if getattr(chosen, name) is not None]
    if not options:
        return
    if len(options) > 1:
        raise InputError(f"command line: {' and '.join(options)}: expected one of them")
    if overrides or chosen.sweep not in (None, Path()):
        given = overrides[0] if overrides else f"--sweep {chosen.sweep}"
        raise InputError(f"command line: {given}: {options[0]} takes the sweep's own file and settings; expected none")
    if chosen.run_dir is not None or chosen.yes:
        given = "--run-dir" if chosen.run_dir is not None else "--yes"
        raise InputError(f"command line: {given} is for a new sweep; {options[0]} goes on with one")
    if chosen.run_cap is not None:
        raise InputError(f"command line: --run-cap: {options[0]} goes by the folder's sweep.yaml; change run_cap there")
    if chosen.dry_run or (chosen.workers is not None and chosen.resume is None):
        given = "--dry-run" if chosen.dry_run else "--workers"
        raise InputError(f"command line: {given} does not fit {options[0]}")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def is_sweep(folder: Path) -> bool:
    return (folder / "sweep.json").is_file()


def _folder(named: Path, option: str) -> Path:
    """The named folder or, without a name, the most recently written sweep in runs/."""
    if named != Path():
        return named
    journals = [path for path in Path("runs").glob("*/study.journal") if is_sweep(path.parent)]
    if not journals:
        raise InputError(f"runs: no sweep there; name one: {option} FOLDER")
    return max(journals, key=lambda path: path.stat().st_mtime).parent
