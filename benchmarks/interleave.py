"""Rates measured in turns, so that whatever slows the machine affects all contestants alike."""

import time
from collections.abc import Callable
from statistics import median

ROUNDS = 5


def interleave(contestants: dict[str, Callable[[], int]], rounds: int | None = None) -> dict[str, list[float]]:
    """Images per second of each contestant in each of `rounds` rounds, by default ROUNDS.

    Each callable does its work once and returns the number of images processed; a first, unmeasured call compiles and
    warms up. Every other round goes through the contestants in reverse.
    """
    for work in contestants.values():
        work()
    rates = {name: [] for name in contestants}
    for turn in range(rounds or ROUNDS):
        for name, work in list(contestants.items())[:: 1 if turn % 2 == 0 else -1]:
            begin = time.perf_counter()
            images = work()
            rates[name].append(images / (time.perf_counter() - begin))
    return rates


def table(rates: dict[str, list[float]], baseline: str, targets: dict[str, float]) -> str:
    """One line per contestant: median images/s (lowest to highest) and the ratio of medians, beside its target."""
    base = median(rates[baseline])
    width = max(map(len, rates))
    lines = []
    for name, values in rates.items():
        aim = f"   target {targets[name]:.1f}x" if name in targets else ""
        spread = f"{median(values):8.0f} images/s ({min(values):.0f} to {max(values):.0f})"
        lines.append(f"{name:{width}} {spread:36} {median(values) / base:6.2f}x{aim}")
    return "\n".join(lines)
