import functools
import io
import os
import sys
from types import SimpleNamespace

import pytest
import tqdm.std

from keras_cnn import messages, progress_bar
from keras_cnn.training.progress import Progress
from keras_cnn.training.state import TrainingState

ROW = {
    "epoch": 2,
    "loss": 0.51234,
    "accuracy": 0.81,
    "val_loss": 0.6,
    "val_accuracy": 0.7912,
    "epoch_seconds": 4.0,
    "run_seconds": 71.2,
}
LINE = "epoch  2/12  loss 0.5123 acc 0.8100 val_loss 0.6000 val_acc 0.7912 * 05:56 left"  # 71.2 s / 2 * 10


class Terminal(io.StringIO):
    encoding = "ascii"

    def isatty(self):
        return True

    def fileno(self):
        return -1  # without a size, unless the test gives it one


@pytest.fixture
def terminal(monkeypatch) -> Terminal:
    stream = Terminal()
    for module in (progress_bar, messages):
        monkeypatch.setattr(module, "sys", SimpleNamespace(stdout=stream, modules={}))
    return stream


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time in seconds, as tqdm sees it."""
    now = [100.0]
    monkeypatch.setattr(tqdm.std, "time", lambda: now[0])
    monkeypatch.setattr(progress_bar, "time", SimpleNamespace(time=lambda: now[0], monotonic=lambda: now[0]))
    return now


def after(steps: int, epoch: int = 1) -> TrainingState:
    return TrainingState(
        epoch=epoch, step=steps, images=64 * steps, sums={"loss": 32.0 * steps, "accuracy": 16.0 * steps}
    )


def test_without_a_terminal_there_is_a_line_per_epoch_and_nothing_else(capsys):
    progress = Progress(12, 10)
    progress.start_epoch(after(0))
    for step in range(1, 11):
        progress.step(after(step))
    assert capsys.readouterr().out == ""
    progress.end_epoch(ROW, best=True)
    assert capsys.readouterr().out == LINE + "\n"
    progress.start_epoch(after(0))
    progress.end_epoch(ROW | {"epoch": 12, "run_seconds": 3670.6}, best=False)
    last = LINE.replace(" *", "  ").replace(" 2/12", "12/12").replace("05:56 left", "1:01:11 total")
    assert capsys.readouterr() == (last + "\n", "")


def test_a_terminal_shows_means_rate_and_time_left(terminal, clock):
    progress = Progress(12, 10)
    progress.start_epoch(after(0))
    clock[0] += 2
    progress.step(after(4))  # 4 steps of 64 images in 2 s: 128 images/s, 6 steps left
    shown = terminal.getvalue().rpartition("\r")[2]
    assert shown == "epoch 2/12 [########            ] 4/10  loss 0.5000  accuracy 0.2500  128 images/s  00:03 left"


def test_a_resumed_epoch_counts_only_what_this_process_did(terminal, clock):
    progress = Progress(12, 10)
    progress.start_epoch(after(4))
    clock[0] += 1
    progress.step(after(5))
    assert "5/10  loss 0.5000  accuracy 0.2500  64 images/s  00:05 left" in terminal.getvalue()


def test_a_terminal_is_written_to_ten_times_a_second_at_most(terminal, clock):
    progress, begun = Progress(1, 1000), clock[0]
    progress.start_epoch(after(0))
    for step in range(1, 1001):
        clock[0] = begun + step / 1000
        progress.step(after(step))
    assert 9 <= terminal.getvalue().count("\r") <= 12


def test_the_line_of_the_epoch_takes_the_place_of_the_bar(terminal, clock):
    progress = Progress(12, 10)
    progress.start_epoch(after(0))
    clock[0] += 1
    progress.step(after(9))
    progress.end_epoch(ROW, best=True)
    *_, bar, blank, line = terminal.getvalue().split("\r")
    assert "9/10" in bar
    assert blank == " " * len(bar)
    assert line == LINE + "\n"


def test_a_narrow_terminal_gets_a_bar_that_fits_into_one_line(terminal, clock, monkeypatch):
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: os.terminal_size((60, 40)))
    progress = Progress(12, 10)
    progress.start_epoch(after(0))
    clock[0] += 1
    progress.step(after(4))
    assert [len(shown) for shown in terminal.getvalue().split("\r")] == [0, 59]


class Display:
    """A stand-in for IPython.display: what a cell shows, each output with its latest content."""

    def __init__(self):
        self.outputs: list[dict] = []
        self.updates = 0

    def display(self, content: dict, *, raw: bool, display_id: bool) -> SimpleNamespace:
        assert raw
        assert display_id
        self.outputs.append(content)
        return SimpleNamespace(update=functools.partial(self._update, len(self.outputs) - 1))

    def _update(self, place: int, content: dict, *, raw: bool) -> None:
        assert raw
        self.outputs[place] = content
        self.updates += 1


@pytest.fixture
def cell(monkeypatch) -> Display:
    """A notebook's cell in which this process runs."""
    display = Display()
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return display


def test_a_notebook_has_one_bar_for_the_whole_training(cell, clock, capsys):
    progress, begun = Progress(12, 1000), clock[0]
    for epoch in range(12):
        progress.start_epoch(after(0, epoch))
        for step in range(1, 1001):
            clock[0] = begun + epoch + step / 1000  # an epoch takes a second
            progress.step(after(step, epoch))
        progress.end_epoch(ROW | {"epoch": epoch + 1}, best=epoch == 11)
    assert capsys.readouterr() == ("", "")
    (bar,) = cell.outputs
    assert bar["text/plain"].startswith("epoch 12/12  loss 0.5123 acc 0.8100 val_loss 0.6000 val_acc 0.7912 * ")
    assert '<progress max="12000" value="12000"' in bar["text/html"]
    assert 24 <= cell.updates <= 40  # two a second, and one at the end of each epoch


def test_the_bar_of_a_notebook_shows_text_as_text(cell, clock):
    bar = progress_bar.notebook_bar(None)
    bar.draw(3, "trial 0001  <b>")
    assert cell.outputs[0]["text/html"].endswith("<code>trial 0001  &lt;b&gt;</code>")
    assert "max=" not in cell.outputs[0]["text/html"]  # the end is not known


def test_a_silent_call_in_a_notebook_shows_nothing(cell, monkeypatch):
    monkeypatch.setattr(progress_bar, "are_shown", lambda: False)
    assert progress_bar.notebook_bar(3) is None
    assert cell.outputs == []
