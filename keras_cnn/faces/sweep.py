"""`python train.py --sweep` and its relatives: what the arguments of a sweep ask for."""

import argparse
import os
from pathlib import Path

from keras_cnn.command_line import import_tensorflow
from keras_cnn.errors import InputError

DEFAULT_SWEEP = Path(__file__).resolve().parents[2] / "configs" / "sweeps" / "cs6910.yaml"
NOT_FOR_SWEEPS = ("run_dir", "dry_run", "find_learning_rate", "overfit_batch", "options")


def is_asked_for(chosen: argparse.Namespace) -> bool:
    return chosen.sweep is not None or chosen.join is not None or chosen.finish is not None


def main(chosen: argparse.Namespace, overrides: list[str]) -> None:
    """Starts, resumes, joins or finishes a sweep."""
    _check(chosen, overrides)
    import_tensorflow()
    from keras_cnn.faces.train import conclude
    from keras_cnn.sweeps import local, study, worker

    if chosen.join is not None:
        worker.work(study.Study(chosen.join))
    elif chosen.finish is not None:
        found = study.Study(_folder(chosen.finish, "--finish"))
        conclude(local.finish(found), found.folder / "best")
    elif chosen.resume is not None:
        local.resume(study.Study(_folder(chosen.resume, "--resume")), _workers(chosen))
    else:
        path = DEFAULT_SWEEP if chosen.sweep == Path() else chosen.sweep
        local.run(local.create(path, overrides), _workers(chosen))


def _check(chosen: argparse.Namespace, overrides: list[str]) -> None:
    for name in NOT_FOR_SWEEPS:
        if getattr(chosen, name):
            raise InputError(f"command line: --{name.replace('_', '-')} does not fit a sweep")
    if chosen.config:
        raise InputError(
            f"command line: {chosen.config}: a sweep names its config as keras_cnn.base in its own file; expected none"
        )
    others = [f"--{n}" for n in ("resume", "join", "finish") if getattr(chosen, n) is not None]
    if len(others) > 1:
        raise InputError(f"command line: {' and '.join(others)}: expected one of them")
    if others and (overrides or chosen.sweep not in (None, Path())):
        given = overrides[0] if overrides else f"--sweep {chosen.sweep}"
        raise InputError(f"command line: {given}: {others[0]} takes the sweep's own file and settings; expected none")


def _workers(chosen: argparse.Namespace) -> int:
    if chosen.workers < 1:
        raise InputError(f"command line: --workers {chosen.workers}: expected a number from 1")
    return chosen.workers


def _folder(named: Path, option: str) -> Path:
    """The folder named, or without a name the sweep below runs/ that was written to last."""
    if named != Path():
        return named
    found = [path.parent for path in Path("runs").glob("*/sweep.json")]
    if not found:
        raise InputError(f"runs: no sweep there; name one: {option} FOLDER")
    return max(found, key=lambda folder: os.stat(folder / "study.journal").st_mtime)
