"""`make bench`: every measured claim of the project, as ratios in interleaved runs. Run it on an idle machine."""

import argparse
import importlib

NAMES = (
    "pipeline",
    "shards",
    "augmentation",
    "training",
    "small_networks",
    "optimizers",
    "prediction",
    "inference",
    "predicting",
    "starting",
    "sweep",
    "finetuning",
    "detection",
    "occlusion",
    "filters",
    "views",
)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(NAMES)}; default all")
    chosen = parser.parse_args().names or NAMES
    if unknown := [name for name in chosen if name not in NAMES]:
        parser.error(f"{unknown[0]!r}: expected one of {', '.join(NAMES)}")
    for name in chosen:
        importlib.import_module(f"benchmarks.{name}").main()
        print()
