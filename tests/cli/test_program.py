"""The boundary of the programs: the line and the exit status that an exception becomes, and broken terminals."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from keras_cnn.cli import program
from keras_cnn.errors import InputError, Stopped
from keras_cnn.messages import logger, printable
from keras_cnn.tensorflow_import import NOISE

ROOT = Path(__file__).resolve().parents[2]


def raising(error: BaseException):
    def main(arguments: list[str]) -> None:
        raise error

    return main


def noted(error: BaseException) -> BaseException:
    error.add_note("go on with: train.py --resume runs/x")
    return error


@pytest.mark.parametrize(
    ("error", "status", "printed"),
    [
        (InputError("a.yaml:3: x"), 2, "error: a.yaml:3: x\n"),
        (InputError("first", "second"), 2, "error: first\nsecond\n"),
        (Stopped("the loss is NaN"), 3, "the loss is NaN\n"),
        (KeyboardInterrupt(), 3, "stopped by a signal\n"),
        (OSError(errno.ENOSPC, "No space left", "a/b"), 3, "a/b: the disk is full (No space left)\n"),
        (noted(OSError(errno.EDQUOT, "Quota")), 3, "the disk is full (Quota); go on with: train.py --resume runs/x\n"),
        (OSError(errno.EIO, "Input/output error", "a"), 3, "stopped: a: Input/output error\n"),
        (OSError(errno.EROFS, "Read-only", "a"), 2, "error: a: Read-only (--debug shows where in the program)\n"),
        (InputError("runs/\x1b[2Ja\nb"), 2, "error: runs/\\x1b[2Ja\\nb\n"),
    ],
)  # fmt: skip
def test_an_exception_becomes_a_line_and_a_status(capsys, error, status, printed):
    assert program.run(raising(error), []) == status
    assert capsys.readouterr().err == printed


def test_text_that_is_no_utf8_is_wrong_input(capsys):
    def main(arguments):
        b"caf\xe9".decode("utf-8")

    assert program.run(main, []) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "error: text or a name is not valid UTF-8: 'utf-8' codec can't decode byte 0xe9 in position 3"
    )


def test_memory_that_cannot_be_had_is_a_stop_with_its_size_and_a_remedy(capsys):
    def main(arguments):
        np.empty((2**20, 2**20, 64), np.float32)

    assert program.run(main, []) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("out of memory: Unable to allocate 256. TiB for an array with shape (1048576, 1048576, 64)")
    assert "; lower train.batch_size" in line


def test_a_bug_has_its_traceback_and_status_1(capsys):
    assert program.run(raising(KeyError("x")), []) == 1
    *traceback, line = capsys.readouterr().err.splitlines()
    assert traceback[0].startswith("Traceback")
    assert line == "this is a bug of keras_cnn, not of its input: KeyError: 'x'"


def test_debug_shows_the_traceback_of_any_error(capsys):
    assert program.run(raising(InputError("x")), ["--debug"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("Traceback")
    assert error.endswith("\nerror: x\n")


def test_sigterm_outside_training_is_a_stop_on_purpose(capsys):
    before = signal.getsignal(signal.SIGTERM)

    def main(arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        raise AssertionError("the signal was not heeded")

    assert program.run(main, []) == 3
    assert capsys.readouterr().err == "stopped by a signal\n"
    assert signal.getsignal(signal.SIGTERM) == before


SIGNALLED = """
import os, runpy, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "MODULE":
            os.kill(os.getpid(), signal.NAME)
sys.meta_path.insert(0, Finder())
sys.argv = ["train.py", "--dry-run"]
runpy.run_path("train.py", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras_cnn", "SIGINT"),
        ("keras_cnn.cli.program", "SIGINT"),
        ("keras_cnn.messages", "SIGINT"),
        ("keras_cnn.cli.train", "SIGINT"),
        ("yaml", "SIGTERM"),
        ("tensorflow", "SIGINT"),
    ],
)
def test_a_signal_while_the_program_is_being_imported_is_a_quiet_stop(module, name):
    code = SIGNALLED.replace("MODULE", module).replace("NAME", name)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr in ("", "stopped by a signal\n")


def test_no_message_commands_the_terminal(capsys):
    logger.info("class \x1b[31mred\x1b[0m\r\nbad\x9b\u202e, Äpfel\tan")
    assert capsys.readouterr().out == "class \\x1b[31mred\\x1b[0m\\r\\nbad\\x9b\\u202e, Äpfel\tan\n"
    assert printable("größe ☀") == "größe ☀"


MANY_LINES = """
import sys
from keras_cnn.cli import program
from keras_cnn.messages import logger
def main(arguments):
    for _ in range(20000):
        logger.info("a line of some length, so that no pipe holds all of them \\udcff ☀")
sys.exit(program.run(main, []))
"""


@pytest.mark.parametrize(
    ("redirected", "status", "error"),
    [
        ("| head -1", 3, "stopped: standard output: Broken pipe\n"),
        ("> /dev/full", 3, "stopped: standard output: No space left on device\n"),
        (">&-", 0, ""),
        ("2>&- > /dev/full", 3, ""),
        ("2>&- <&- > /dev/null", 0, ""),
        ("2> /dev/full > /dev/full", 3, ""),
    ],
)
def test_output_that_cannot_be_written_ends_the_program_in_one_line(tmp_path, redirected, status, error):
    (tmp_path / "many.py").write_text(MANY_LINES)
    command = f"set -o pipefail; {sys.executable} {tmp_path / 'many.py'} {redirected}"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (status, error)


@pytest.mark.parametrize("setting", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}, {"LC_ALL": "POSIX"}])
def test_any_text_can_be_written_in_any_locale(tmp_path, setting):
    (tmp_path / "few.py").write_text(MANY_LINES.replace("20000", "2"))
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | setting
    done = subprocess.run([sys.executable, tmp_path / "few.py"], env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout.splitlines()) == 2


def test_a_report_passes_on_no_message_of_tensorflow_about_the_machine(tmp_path):
    (tmp_path / "runs.csv").write_text("width,val_accuracy,test_accuracy\n6,0.5,0.49\n12,0.6,0.58\n")
    command = [sys.executable, "-m", "keras_cnn", "report", "runs.csv"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs.html").exists()
    assert [line for line in done.stderr.splitlines() if any(words in line for words in NOISE)] == []
