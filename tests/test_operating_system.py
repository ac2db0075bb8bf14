"""What differs between systems, where this machine's own system can show it, and by simulation for the others."""

import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import psutil
import pytest

from keras_cnn import config, operating_system, run_folder
from keras_cnn.errors import InputError
from keras_cnn.run_folder.lock import FolderLock

ROOT = Path(__file__).resolve().parents[1]


class MacProcess:
    """psutil's Process on macOS: it has no `cpu_affinity`."""


def test_the_cores_of_this_process_are_those_that_the_system_gives_it():
    assert operating_system.cores() == sorted(os.sched_getaffinity(0))
    first = operating_system.cores()[:1]
    with operating_system.on_cores(first) as variables:
        code = "from keras_cnn.operating_system import cores; print(cores())"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        assert (done.stdout, variables) == (f"{first}\n", {})
    assert operating_system.cores() == sorted(os.sched_getaffinity(0))


def test_without_affinity_the_number_of_threads_shares_the_cores(monkeypatch):
    monkeypatch.setattr(psutil, "Process", MacProcess)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert operating_system.cores() == list(range(8))
    with operating_system.on_cores({2, 3, 4}) as variables:
        assert variables == dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "3")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert operating_system.cores() == [0, 1, 2]
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert len(operating_system.cores()) == 8


def test_a_child_of_windows_has_its_own_group_and_stops_by_ctrl_break(monkeypatch):
    assert operating_system.own_group() == {"start_new_session": True}
    sent = []
    child = types.SimpleNamespace(send_signal=sent.append)
    operating_system.ask_to_stop(child)
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)
    monkeypatch.setattr(signal, "CTRL_BREAK_EVENT", 1, raising=False)
    operating_system.ask_to_stop(child)
    assert operating_system.own_group() == {"creationflags": 0x200}
    assert sent == [signal.SIGTERM, 1]


def test_the_package_imports_without_the_modules_of_linux():
    """Every module that needs no TensorFlow: the imports are what would fail on Windows."""
    code = """
import sys
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty"):
    sys.modules[name] = None
import keras_cnn.cli.commands, keras_cnn.cli.program, keras_cnn.cli.doctor
import keras_cnn.run_folder, keras_cnn.config, keras_cnn.sweeps.prewarmed_workers, keras_cnn.cli.train
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_lock_that_cannot_be_read_still_refuses(tmp_path, monkeypatch):
    """Windows lets nobody but the holder read a locked file."""
    held = FolderLock(tmp_path)
    with pytest.raises(InputError, match=rf"in use by process {os.getpid()} on "):
        FolderLock(tmp_path)

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "read", refuse)
    with pytest.raises(InputError, match=r"in use by another process; wait for it"):
        FolderLock(tmp_path)
    monkeypatch.undo()
    held.release()
    FolderLock(tmp_path).release()


def test_a_file_system_without_locks_is_an_error_of_the_system(tmp_path, monkeypatch):
    import fcntl

    import portalocker

    def refuse(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(portalocker.portalocker, "LOCKER", refuse)
    with (tmp_path / "x").open("w") as file, pytest.raises(OSError, match="Function not implemented") as error:
        operating_system.lock_file(file)
    assert error.value.errno == 38
    assert fcntl


@pytest.mark.parametrize("name", ["a:b", "a\\b", "a*", "con", "NUL.txt", "end.", "end ", ".x", "a/b", "", "tab\t"])
def test_a_run_has_a_name_that_every_system_takes(name):
    with pytest.raises(InputError, match="name: found"):
        config.load(None, ["--name", json.dumps(name)])


@pytest.mark.parametrize("name", ["net4", "Äpfel & Birnen", "a.b", "con-2", "x"])
def test_common_names_of_runs_stay(name):
    assert config.load(None, ["--name", name]).name == name


def test_text_files_are_the_same_bytes_on_every_system(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "linesep", "\r\n")
    run_folder.write_text(tmp_path / "a.txt", "one\ntwo\n")
    assert (tmp_path / "a.txt").read_bytes() == b"one\ntwo\n"


def test_commands_to_copy_are_quoted_for_the_shell_of_windows(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert run_folder.quoted(["python", r"C:\my photos\train.py"]) == r'python "C:\my photos\train.py"'
