"""Runs the experiments of the published reports again, as many as fit into some hours, and writes what came out.

    python scripts/reproduce.py --list                      the experiments, what each takes, and which are done
    python scripts/reproduce.py --data cifar10 --hours 2    goes on where the last call stopped
    python scripts/reproduce.py                             writes docs/reproductions.md and its page from what is kept

Each experiment is a run of the package in a folder of its own below --runs. What is kept of it, without weights, are
the small files in docs/reproductions/results, so that another machine goes on without the run folders.
"""

import argparse
import sys
from pathlib import Path

from keras_cnn.cli import program
from keras_cnn.errors import InputError
from keras_cnn.messages import aligned, logger
from keras_cnn.tensorflow_import import import_tensorflow

import_tensorflow()  # without its messages, before a module of the reproduction imports it
from reproduction import images, results, writing  # noqa: E402
from reproduction.evidence import Runs  # noqa: E402
from reproduction.plan import chosen, plan  # noqa: E402
from reproduction.running import run_all, seconds_left  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python scripts/reproduce.py",
        description=(__doc__ or "").partition("\n")[0],
        epilog=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--hours", type=float, help="budget of this call; without it nothing is trained")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="CIFAR-10: train/CLASS/*.jpg and test/CLASS/*.jpg")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="Xception's ImageNet weights")
    parser.add_argument("--photos", type=Path, metavar="ZIP", help="200 ImageNet photos")
    parser.add_argument("--only", metavar="PATTERN", help="the experiments whose names begin so, or match this pattern")
    parser.add_argument("--list", action="store_true", help="print the experiments and stop")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/reproduction"), help="run folders (default: %(default)s)"
    )
    parser.add_argument(
        "--kept",
        type=Path,
        default=ROOT / "docs/reproductions",
        help="small results files (default: docs/reproductions)",
    )
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    everything = plan()
    done, wanted = results.read_all(options.kept, everything), chosen(everything, options.only)
    if options.list:
        rows = [(each.key, each.length, _state(each, options.runs, done)) for each in wanted]
        for line in aligned(rows):
            print(line)
        return
    if options.hours is not None:
        if options.hours <= 0:
            raise InputError(f"--hours: found {options.hours:g}, expected a number above 0")
        if options.data is None:
            raise InputError("--data: missing, expected the folder of CIFAR-10, because --hours asks for training")
        material = images.material(options.data, options.weights, options.photos)
        run_all(wanted, material, options.runs, options.kept, done, options.hours)
        done = results.read_all(options.kept, everything)
    waiting = [each for each in everything if each.key not in done]
    for path in writing.write(options.kept, Runs(tuple(done.values())), waiting):
        logger.info(f"wrote     {path}")


def _state(experiment, runs: Path, done) -> str:
    if experiment.key in done:
        return f"done in {done[experiment.key]['seconds'] / 60:.1f} minutes"
    begun = "begun, " if (runs / experiment.key).is_dir() else ""
    return f"{begun}about {seconds_left(experiment, runs, done) / 60:.0f} minutes"


if __name__ == "__main__":
    sys.exit(program.run(main, sys.argv[1:]))
