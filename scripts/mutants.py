"""Puts small bugs into a module, one at a time, and prints those that its tests do not notice. Cosmic Ray makes them.

python scripts/mutants.py keras_cnn/sweeps/distributions.py tests/sweeps/test_space.py --sample 40 --seed 1

The bug stands in the working tree while its tests run, and is taken out afterwards, also on Ctrl-C.
"""

import argparse
import random
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test, mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import WorkItem

ROOT = Path(__file__).resolve().parents[1]
IMPLAUSIBLE = re.compile("BinaryOperator.*(Bit|Shift)|ComparisonOperator_(?!Is).*_Is")  # such as `a << b` and `a is 1`


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("module", type=Path)
    parser.add_argument("tests", nargs="+", help="test files of the module, or tests as FILE::NAME")
    parser.add_argument("--sample", type=int, default=40, help="number of mutants drawn from all (default: 40)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (default: 0)")
    return parser.parse_args(arguments)


def mutants(module: Path) -> list[WorkItem]:
    """All mutants of the module but `IMPLAUSIBLE` ones, in an order that does not change."""
    with tempfile.TemporaryDirectory() as folder, use_db(str(Path(folder) / "session"), WorkDB.Mode.create) as session:
        init([module], session, {})
        items = [item for item in session.work_items if not IMPLAUSIBLE.search(item.mutations[0].operator_name)]
    items = [item for item in items if compiles(item, module.read_text(encoding="utf-8"))]
    return sorted(items, key=lambda item: (item.mutations[0].operator_name, item.mutations[0].occurrence))


def compiles(item: WorkItem, source: str) -> bool:
    """Whether the mutant is Python: Cosmic Ray also changes the `*` before keyword-only parameters."""
    [mutation] = item.mutations
    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    try:
        compile(mutate_code(source, operator, mutation.occurrence) or "", str(mutation.module_path), "exec")
    except SyntaxError:
        return False
    return True


def changed_lines(diff: str) -> list[str]:
    return [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:xdist", *options.tests]
    begin = time.monotonic()
    if subprocess.run(command, cwd=ROOT).returncode:
        raise SystemExit("error: the tests fail without a mutant")
    limit = 3 * (time.monotonic() - begin) + 10  # seconds; a mutant that loops forever counts as noticed
    everything = mutants(options.module)
    drawn = random.Random(options.seed).sample(everything, min(options.sample, len(everything)))
    missed = 0
    for number, item in enumerate(drawn, 1):
        result = mutate_and_test(item.mutations, shlex.join(command), limit)
        missed += not result.is_killed
        print(f"{number}/{len(drawn)} {'noticed' if result.is_killed else 'NOT NOTICED'}", flush=True)
        place = f"{options.module}:{item.mutations[0].start_pos[0]}"
        print(*(f"    {place} {line}" for line in changed_lines(result.diff or "")), sep="\n", flush=True)
    print(f"{len(drawn) - missed} of {len(drawn)} mutants noticed, drawn from {len(everything)}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
