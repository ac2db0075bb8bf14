import io

import pytest

from keras_cnn.training import progress
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
LINE = "epoch   2/12  loss 0.5123  accuracy 0.8100  val_loss 0.6000  val_accuracy 0.7912 *  250 images/s  1:11"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clocked(monkeypatch):
    """Sets what the time is, in seconds, and the width of the terminal."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setenv("COLUMNS", "200")
    return now


def after(steps: int, epoch: int = 1) -> TrainingState:
    return TrainingState(
        epoch=epoch, step=steps, images=64 * steps, sums={"loss": 32.0 * steps, "accuracy": 16.0 * steps}
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (0.4, "0:00"), (9.6, "0:10"), (59.6, "1:00"), (71, "1:11"), (3599.7, "1:00:00"), (3671, "1:01:11")],
)
def test_clock(seconds, text):
    assert progress.clock(seconds) == text


def test_without_a_terminal_there_is_one_line_an_epoch_and_nothing_else(clocked):
    stream = io.StringIO()
    bar = progress.Progress(12, 10, stream)
    bar.start_epoch(after(0))
    for step in range(1, 11):
        clocked[0] += 1
        bar.step(after(step))
    assert stream.getvalue() == ""
    bar.end_epoch(ROW, 1000, best=True)
    assert stream.getvalue() == LINE + "\n"
    bar.end_epoch(ROW, 1000, best=False)
    assert stream.getvalue().splitlines()[1] == LINE.replace(" *", "  ")


def test_a_terminal_shows_means_rate_and_time_left(clocked):
    stream = Terminal()
    bar = progress.Progress(12, 10, stream)
    clocked[0] = 100.0
    bar.start_epoch(after(0))
    clocked[0] = 102.0
    bar.step(after(4))  # 4 steps of 64 images in 2 s: 128 images/s, 6 steps left
    expected = "epoch 2/12 [########............] 4/10  loss 0.5000  accuracy 0.2500  128 images/s  0:03 left"
    assert stream.getvalue() == "\r" + expected


def test_a_resumed_epoch_counts_only_what_this_process_did(clocked):
    stream = Terminal()
    bar = progress.Progress(12, 10, stream)
    clocked[0] = 1.0
    bar.start_epoch(after(4))
    clocked[0] = 2.0
    bar.step(after(5))
    assert "5/10  loss 0.5000  accuracy 0.2500  64 images/s  0:05 left" in stream.getvalue()


def test_a_terminal_is_written_to_ten_times_a_second_at_most(clocked):
    stream = Terminal()
    bar = progress.Progress(1, 1000, stream)
    clocked[0] = 1.0
    bar.start_epoch(after(0))
    for step in range(1, 1001):
        clocked[0] = 1 + step / 1000
        bar.step(after(step))
    assert 8 <= stream.getvalue().count("\r") <= 10


def test_the_epochs_line_covers_the_bar(clocked):
    stream = Terminal()
    bar = progress.Progress(1000000, 10**12, stream)
    clocked[0] = 1.0
    bar.start_epoch(after(0))
    clocked[0] = 2.0
    bar.step(after(9))
    bar.end_epoch(ROW, 1000, best=True)
    _, shown, line = stream.getvalue().split("\r")
    assert len(line) > len(shown) > 104 or len(line) == len(shown) + 1  # padded, and the end of the line
    assert line.rstrip() == LINE.replace("/12", "/1000000")
    assert line.endswith("\n")


def test_a_narrow_terminal_gets_a_bar_that_fits_into_one_line(clocked, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    stream = Terminal()
    bar = progress.Progress(12, 10, stream)
    clocked[0] = 1.0
    bar.start_epoch(after(0))
    clocked[0] = 2.0
    bar.step(after(4))
    assert len(stream.getvalue().removeprefix("\r")) == 59  # a full line would go on to the next
