"""Puts small bugs into modules, one at a time, and prints those that their tests do not notice. Cosmic Ray makes them.

python scripts/mutants.py keras_cnn/sweeps/distributions.py tests/sweeps/test_space.py --sample 40 --seed 1
python scripts/mutants.py keras_cnn/data/warp.py tests/data/test_augment.py keras_cnn/data/xla.py tests/data/test_*.py

Each module is followed by its tests. The modules give the sample in turn, a mutant each. TensorFlow is imported once;
the tests of each mutant run in a fork of this process. The bug stands in the working tree while they run, and is taken
out afterwards, also on Ctrl-C and SIGTERM.
"""

import argparse
import contextlib
import difflib
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec

ROOT = Path(__file__).resolve().parents[1]
IMPLAUSIBLE = re.compile("BinaryOperator.*(Bit|Shift)|ComparisonOperator_(?!Is).*_Is")  # such as `a << b` and `a is 1`
TICK = 0.05  # seconds
LOG = Path(tempfile.gettempdir()) / f"mutants-{os.getpid()}.log"  # of the last tests


@dataclass(frozen=True)
class Mutant:
    module: Path
    line: int
    operator: str
    source: str  # of the module, with the bug

    def diff(self) -> list[str]:
        """The lines that differ, with a sign in front."""
        before, after = (text.splitlines() for text in (self.module.read_text(encoding="utf-8"), self.source))
        lines = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
        return [line for line in lines if not line.startswith("@@")]


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", help="modules, each followed by its test files, or tests as FILE::NAME")
    parser.add_argument("--sample", type=int, default=40, help="number of mutants drawn from all (default: 40)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (default: 0)")
    options = parser.parse_args(arguments)
    options.modules = {}
    for name in options.files:
        if not name.startswith("tests"):
            tests = options.modules.setdefault(Path(name), [])
        elif not options.modules:
            parser.error(f"{name}: comes before any module")
        else:
            tests.append(name)
    return options


def mutations(module: Path) -> list[MutationSpec]:
    """All mutations of the module but `IMPLAUSIBLE` ones, in an order that does not change."""
    with tempfile.TemporaryDirectory() as folder, use_db(str(Path(folder) / "session"), WorkDB.Mode.create) as session:
        init([module], session, {})
        found = [item.mutations[0] for item in session.work_items]
    found = [mutation for mutation in found if not IMPLAUSIBLE.search(mutation.operator_name)]
    return sorted(found, key=lambda mutation: (mutation.operator_name, mutation.occurrence))


def mutants(module: Path, chance: random.Random) -> Iterator[Mutant]:
    """The mutants of the module that are Python, in random order: Cosmic Ray also changes the `*` of parameters."""
    text, found = module.read_text(encoding="utf-8"), mutations(module)
    for mutation in chance.sample(found, len(found)):
        operator = get_operator(mutation.operator_name)(**mutation.operator_args)
        source = mutate_code(text, operator, mutation.occurrence) or ""
        try:
            compile(source, str(module), "exec")
        except SyntaxError:
            continue
        yield Mutant(module, mutation.start_pos[0], mutation.operator_name.rpartition("/")[2], source)


def drawn(modules: list[Path], number: int, chance: random.Random) -> Iterator[Mutant]:
    """A mutant of each module in turn, the modules in random order."""
    waiting = [mutants(module, chance) for module in chance.sample(modules, len(modules))]
    while number and waiting:
        source = waiting.pop(0)
        if mutant := next(source, None):
            waiting.append(source)
            number -= 1
            yield mutant


def fork_tests(tests: list[str], limit: float, writes_bytecode: bool) -> tuple[str, float]:
    """How the tests end in a fork of this process ("passed", "failed" or "too long"), and their time in seconds.

    The time is counted in steps: it does not run on while the machine stands still or this process is stopped.
    """
    sys.stdout.flush()
    if not (child := os.fork()):
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit)))
        if not writes_bytecode:
            sys.dont_write_bytecode = True
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        with open(LOG, "wb") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        status = 70
        try:
            status = int(pytest.main(["-x", "-q", "-rfE", "-p", "no:xdist", "-p", "no:cacheprovider", *tests]))
        finally:
            sys.stdout.flush()
            os._exit(status)
    passed_time, result = 0.0, ""
    try:
        while not result:
            time.sleep(TICK)
            passed_time += TICK
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                result = "failed" if status else "passed"
            elif passed_time > limit:
                result = "too long"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # with what the tests started
        if result in ("", "too long"):
            os.waitpid(child, 0)
    return result, passed_time


def run_mutant(mutant: Mutant, tests: list[str], limit: float) -> str:
    text, status = mutant.module.read_text(encoding="utf-8"), mutant.module.stat()
    try:
        mutant.module.write_text(mutant.source, encoding="utf-8")
        return fork_tests(tests, limit, writes_bytecode=False)[0]  # it could outlive the bug
    finally:
        mutant.module.write_text(text, encoding="utf-8")
        os.utime(mutant.module, ns=(status.st_atime_ns, status.st_mtime_ns))  # its bytecode stays valid


def noticed_by() -> str:
    """The test that failed, in brackets; empty where the tests passed or were cut short."""
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", LOG.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return f" ({failed[1]})" if failed else ""


def import_once() -> None:
    """What every test would import; nothing is computed, so that the forks begin as a new process does."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "2", "OMP_WAIT_POLICY": "PASSIVE", "MPLBACKEND": "agg"}
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    import keras  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import tensorflow  # noqa: F401


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the module is mended first
    import_once()
    limits: dict[tuple[str, ...], float] = {}
    missed, number = 0, 0
    for mutant in drawn([*options.modules], options.sample, random.Random(options.seed)):
        tests = options.modules[mutant.module]
        if tuple(tests) not in limits:
            result, taken = fork_tests(tests, 600, writes_bytecode=True)
            if result != "passed":
                raise SystemExit(f"error: without a mutant: {' '.join(tests)}: {result}; see {LOG}")
            limits[tuple(tests)] = 6 * taken + 10  # a mutant that loops forever counts as noticed
        result = run_mutant(mutant, tests, limits[tuple(tests)])
        number, missed = number + 1, missed + (result == "passed")
        words = {"passed": "NOT NOTICED", "failed": "noticed", "too long": "noticed (the tests do not end)"}[result]
        print(f"{number}/{options.sample} {words}{noticed_by()}: {mutant.module}:{mutant.line} {mutant.operator}")
        print(*(f"    {line}" for line in mutant.diff()), sep="\n", flush=True)
    print(f"{number - missed} of {number} mutants noticed")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
