"""Our best honest test accuracy for a task beside the report's, with as many parameters and epochs at most."""

from dataclasses import dataclass

import numpy as np

from keras_cnn.charts import TextTable
from keras_cnn.evaluation.intervals import mean_interval, wilson
from reproduction import evidence
from reproduction.evidence import Runs

TEST_IMAGES = 10_000


@dataclass(frozen=True)
class Task:
    """What a report reached, and which experiment of ours stands beside it."""

    name: str
    printed: float  # test accuracy
    parameters: int  # 0: not printed
    epochs: int  # 0: not printed
    experiment: str
    recipe: str


_NET1 = "cs7015.net1.filter_multiplier2-kernel_size3-l1_oc18-stride1"
TASKS = (
    Task("CS7015, first grid", 0.561, 62_006, 10, "own.first", "AdamW, one cycle to 0.004, batch 64"),
    Task("CS7015, network 1", 0.6704, 173_026, 30, _NET1, "the report's"),
    Task("CS7015, network 1", 0.6704, 173_026, 30, "own.net1", "AdamW, one cycle to 0.004, flips and crops"),
    Task("CS7015, network 4", 0.8986, 4_403_518, 100, "own.net4", "seven convolutions, AdamW, one cycle to 0.004"),
    Task("TDT4265, LeNet", 0.7149, 390_400, 10, "tdt4265.lenet", "the report's"),
    Task("TDT4265, LeNet", 0.7149, 390_400, 10, "own.lenet", "AdamW, one cycle to 0.002, flips and crops"),
    Task("TDT4265, model 2", 0.7528, 0, 10, "tdt4265.model2", "the report's"),
    Task("TDT4265, model 2", 0.7528, 0, 10, "own.model2", "AdamW, one cycle to 0.004, flips, crops, no dropout"),
    Task("TDT4265, model 1", 0.7792, 0, 10, "tdt4265.model1", "the report's"),
    Task("TDT4265, model 1", 0.7792, 0, 10, "own.model1", "AdamW, one cycle to 0.002, flips and crops"),
)
HEAD = ("Task", "recipe", "published", "here", "seeds", "parameters", "epochs", "difference, points", "verdict")


def table(runs: Runs) -> TextTable:
    """A row for each task that has runs; here the epoch is chosen on validation and the test images are read once."""
    rows = []
    for task in TASKS:
        found = runs.of(task.experiment)
        if not found:
            continue
        values = [evidence.chosen("test_accuracy")(result) for result in found]
        value = float(np.mean(values))
        low, high = mean_interval(values) if len(values) > 1 else wilson(round(value * TEST_IMAGES), TEST_IMAGES)
        verdict = "higher" if low > task.printed else "lower" if high < task.printed else "no difference shown"
        rows.append(
            (
                task.name,
                task.recipe,
                f"{100 * task.printed:.2f} %",
                f"{100 * value:.2f} % [{100 * low:.2f}, {100 * high:.2f}]",
                str(len(values)),
                f"{f'{task.parameters:,}' if task.parameters else '–'} / {found[0]['parameters']:,}",
                f"{task.epochs or '–'} / {len(found[0]['epochs']['loss'])}",
                f"{100 * (value - task.printed):+.2f}",
                verdict,
            )
        )
    return TextTable(HEAD, tuple(rows))
