"""The options for a run on several hosts, and its run folder as each process sees it."""

import argparse
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

from keras_cnn.cli.parser import Parser
from keras_cnn.distribution.hosts import cluster
from keras_cnn.distribution.ranks import ALONE, WAIT, Ranks, meet
from keras_cnn.errors import InputError
from keras_cnn.messages import logger
from keras_cnn.run_folder import RunFolder, shell_command

PACKAGES = ("keras_cnn", "tensorflow", "keras", "numpy")
_COPIED = ("*.json", "*.yaml", "*.csv", "*.keras", "*.npz", "checkpoint/*.npz", "*.cfg", "*.names", "*.txt")


def add_options(parser: Parser) -> None:
    """Adds --hosts, --rank and --wait."""
    parser.option("--hosts", metavar="A:PORT,B:PORT", help="train with these hosts; start the same command on each")
    parser.option("--rank", type=int, metavar="I", help="the number of this process among --hosts, from 0")
    parser.option("--wait", type=float, default=WAIT, metavar="SECONDS", help=f"for the other hosts; default {WAIT:g}")


def join(chosen: argparse.Namespace, program: str) -> Ranks:
    """The processes of this run, connected; call it before TensorFlow is used. Raises InputError if one is missing."""
    found = cluster(chosen.hosts, chosen.rank)
    if found is None:
        return ALONE
    hosts, rank = found
    if rank == 0 and chosen.hosts:
        for other, host in enumerate(hosts[1:], 1):
            command = shell_command(program, "...", "--hosts", ",".join(hosts), "--rank", str(other))
            logger.info(f"hosts     on {host.rpartition(':')[0]}: {command}")
    if rank == 0:
        logger.info(f"hosts     waiting up to {chosen.wait:g} s for {len(hosts) - 1} of {len(hosts)} processes")
    return meet(hosts, rank, {name: version(name) for name in PACKAGES}, chosen.wait)


@contextlib.contextmanager
def shared_folder(ranks: Ranks, make: Callable[[], RunFolder], program: str) -> Iterator[RunFolder]:
    """The run folder. Rank 0 makes and writes it; every other rank works on a copy that is removed at the end.

    So every rank runs the same code, and holds the best model and the history itself. The messages of the others go
    into rank-N.log in the run folder, which all hosts must see.
    """
    if ranks.count == 1:
        with make() as folder:
            yield folder
        return
    with ranks.together():
        if ranks.rank == 0:
            with make() as folder:
                ranks.exchange(str(folder.path.resolve()).encode())
                ranks.release = partial(folder.__exit__, None, None, None)
                ranks.way_on = partial(_way_on, ranks, folder.path, program)
                yield folder
            return
        path = Path(ranks.exchange(b"")[0].decode())
        if not path.is_dir():
            raise InputError(f"rank {ranks.rank}: {path}: not seen here; expected a run folder that all hosts share")
        ranks.way_on = partial(_way_on, ranks, path, program)
        log = path / f"rank-{ranks.rank}.log"
        print(f"rank {ranks.rank} of {ranks.count}: messages in {log}", flush=True)
        with (
            tempfile.TemporaryDirectory() as temporary,
            log.open("a", encoding="utf-8", buffering=1) as messages,
            contextlib.redirect_stdout(messages),
            _copy(path, Path(temporary) / path.name) as folder,
        ):
            yield folder


def _copy(path: Path, target: Path) -> RunFolder:
    """A copy of an unfinished run's files, locked."""
    target.mkdir()
    for file in (file for pattern in _COPIED for file in path.glob(pattern)):
        copy = target / file.relative_to(path)
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, copy)
    return RunFolder(target).lock()


def _way_on(ranks: Ranks, path: Path, program: str) -> str:
    """The command that goes on with a run that has been begun; else ""."""
    if not (path / "config.yaml").is_file():
        return ""
    return shell_command(program, "--resume", path, "--hosts", ",".join(ranks.hosts), "--rank", str(ranks.rank))
