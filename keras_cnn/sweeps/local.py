"""A sweep on this machine: its workers, the messages about its trials, and its best trial trained again."""

import os
import shutil
import time

from keras_cnn import config as config_module
from keras_cnn.errors import InputError, Interrupted, Stopped
from keras_cnn.loading import BUILDERS
from keras_cnn.messages import counted, log_command, log_sentence, logger
from keras_cnn.progress_bar import notebook_bar
from keras_cnn.run_folder import RunFolder, program_words, quoted, shell_command
from keras_cnn.sweeps.prewarmed_workers import PrewarmedWorkers
from keras_cnn.sweeps.study import Study, Trial
from keras_cnn.sweeps.worker import outcome, settings, trial_config
from keras_cnn.sweeps.worker_pool import worker_pool
from keras_cnn.tasks.preparing import prepare
from keras_cnn.training import experiment, gpus

SECONDS = 0.5  # between two checks of the workers


def resume(study: Study, workers: int, ready: PrewarmedWorkers, *, may_join: bool = True) -> None:
    """Resumes a sweep. Raises InputError if it is complete."""
    if study.ended():
        is_finished = (study.folder / "best" / "metrics.json").is_file()
        following = _report(study) if is_finished or study.sweep.folds else _command("--finish", study)
        raise InputError(f"{study.folder}: this sweep is complete; next: {following}")
    run(study, workers, ready=ready, may_join=may_join)


def run(
    study: Study,
    workers: int,
    *,
    is_new: bool = False,
    resume: str | None = None,
    ready: PrewarmedWorkers | None = None,
    may_join: bool = True,
) -> None:
    """Runs the sweep to its end with a number of worker processes, which share the cores; logs each trial.

    A new sweep whose images cannot be read leaves no folder, so that the next attempt can use its name. `resume` is
    the command that resumes it, if not `train.py --sweep --resume`; `ready` has processes to use as workers;
    `may_join` says whether the command is shown with which another worker joins.

    Raises Interrupted on a signal, after all workers have stopped at a checkpoint, Stopped if the workers stopped for
    another reason or no trial has a value, and InputError if a sweep cannot use the images.
    """
    go_on = f"go on with: {resume or _command('--resume', study)}"
    reporter = _TrialReporter(study)
    if study.cap is not None:
        workers = max(1, min(workers, study.cap - reporter.ended))
    logger.info(f"sweep     {study.folder}   ({study.sweep.method}, {_planned(study)}, {counted(workers, 'worker')})")
    for line in gpus.problems([]):  # a GPU that no worker can use; what workers use is opened by them alone
        logger.info(f"warning   {line}")
    logger.info(f"epochs    in {study.folder}/worker-{'1' if workers == 1 else 'N'}.log")
    if may_join:
        log_command("join", _join(study), "one worker more, here or on a host that sees this folder")
    try:
        with worker_pool(study.folder, workers, ready or PrewarmedWorkers()) as pool:
            while any(worker.is_busy for worker in pool):
                time.sleep(SECONDS)
                reporter.report()
                for worker in pool:
                    worker.revive(study, reporter.ended)
            reporter.report()
    except KeyboardInterrupt:
        raise Interrupted(f"sweep stopped by a signal; every trial has its checkpoint; {go_on}") from None
    except Stopped as stop:
        raise Stopped(f"{study.folder}: {stop}; {go_on}") from None
    except InputError as error:
        if is_new and not study.trials():
            shutil.rmtree(study.folder)
            raise
        raise InputError(f"{error}; once that is mended {go_on}") from None
    _conclude(study)


def finish(study: Study) -> dict:
    """Trains the best trial again with its seed, reads the test split once, and returns the numbers of the run.

    Raises InputError if no trial has finished, or if this has been done before.
    """
    best = study.best()
    if study.sweep.folds:
        train = shell_command("train", study.folder / "base.yaml")
        raise InputError(f"{study.folder}: folds have no best one; a network of all the images: {train}")
    if best is None:
        raise InputError(f"{study.folder}: no trial has finished; nothing to choose from")
    path = study.folder / "best"
    if (path / "metrics.json").is_file():
        raise InputError(f"{path}: trained and tested already; the test split is read once")
    config = trial_config(study.sweep, study.folder / "base.yaml", best.assignment, study.folder.resolve().name)
    found = f"trial {best.label}  {settings(study.sweep, best.assignment)}  {outcome(study.sweep, best)}"
    log_sentence("best", found)
    with RunFolder.open_or_create(path) as folder:
        if (folder / "config.yaml").is_file() and config_module.differences(folder.config(BUILDERS), config):
            raise InputError(f"{path}: begun with a trial that is no longer the best; expected it finished or removed")
        return experiment.train(config, folder, prepare)


class _TrialReporter:
    """Logs a line when a trial begins, and one when it ends. A notebook has one bar instead."""

    def __init__(self, study: Study):
        self._study = study
        self._bar = notebook_bar(study.cap)
        self._begun = {trial.number for trial in study.trials() if trial.ended}
        self._ended = set(self._begun)

    @property
    def ended(self) -> int:
        """The number of trials that have ended."""
        return len(self._ended)

    def report(self) -> None:
        """Logs what has happened since the last call."""
        for trial in self._study.trials():
            if trial.number not in self._begun:
                self._begun.add(trial.number)
                self._say(trial, settings(self._study.sweep, trial.assignment))
            if trial.ended and trial.number not in self._ended:
                self._ended.add(trial.number)
                self._say(trial, f"{outcome(self._study.sweep, trial)}{_best_so_far(self._study, trial)}")

    def _say(self, trial: Trial, words: str) -> None:
        if self._bar:
            self._bar.draw(self.ended, f"trial {trial.label}  {words}")
        else:
            log_sentence(f"trial {trial.label}", words, 12)


def _best_so_far(study: Study, trial: Trial) -> str:
    best = None if study.sweep.folds else study.best()
    return "" if best is None else "   best so far" if best == trial else f"   best {best.value:.4f} ({best.label})"


def _conclude(study: Study) -> None:
    trials, best = study.trials(), study.best()
    counts = {state: sum(t.state == state for t in trials) for state in ("finished", "early", "failed")}
    words = ", ".join(f"{n} {state}" for state, n in counts.items() if n)
    logger.info("")
    logger.info(f"sweep     {study.folder}: {counted(len(trials), 'trial')}: {words}")
    logger.info(f"          all of them: {study.folder / 'trials.csv'}")
    for trial in trials:
        if not trial.ended:
            logger.info(f"          trial {trial.label} is {trial.state}, {trial.worker}")
    if best and not study.sweep.folds:
        found = f"trial {best.label}  {outcome(study.sweep, best)}   {settings(study.sweep, best.assignment)}"
        log_sentence("best", found)
        log_command("next", _command("--finish", study), "train it again, and read the test split once")
        log_command("", _report(study), "what matters, on one page")
    elif trials and best is None and study.ended():
        raise Stopped(f"{study.folder}: no trial came to a value; the last, {trials[-1].label}: {trials[-1].reason}")


def _command(option: str, study: Study) -> str:
    return shell_command("train", "--sweep", option, study.folder)


def _report(study: Study) -> str:
    return shell_command("report", study.folder)


def _join(study: Study) -> str:
    """The command that joins from any host with these paths. It starts in this folder, as configs may refer to it."""
    command = quoted([*program_words("train", anywhere=True), "--join", str(study.folder)])
    return f"cd {quoted([os.getcwd()])} && {command}"


def _planned(study: Study) -> str:
    if study.wandb_sweep:
        return f"by W&B's server, {study.wandb_sweep}"
    return "no end" if study.cap is None else counted(study.cap, "trial")
