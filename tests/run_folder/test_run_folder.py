import csv
import errno
import json
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from keras_cnn import config, run_folder
from keras_cnn.errors import InputError, Stopped
from keras_cnn.run_folder import process


def test_folders_are_numbered_and_nothing_is_overwritten(tmp_path):
    names = [run_folder.RunFolder.create("a", tmp_path).path.name for _ in range(3)]
    assert names == ["a", "a-2", "a-3"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="not an empty folder"):
        run_folder.RunFolder.create("a", path=tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"


def test_a_folder_in_use_is_refused_and_freed_when_its_process_dies(tmp_path):
    hold = "import sys; from pathlib import Path; from keras_cnn.run_folder import RunFolder;"
    hold += "f = RunFolder.create('a', path=Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    folder = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", hold, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"in use by process {holder.pid} on"):
            run_folder.RunFolder(folder).lock()
        holder.kill()
    run_folder.RunFolder(folder).lock()


def test_a_folder_let_go_of_can_be_held_again_in_the_same_process(tmp_path):
    with run_folder.RunFolder.create("a", tmp_path) as folder:
        (folder / "config.yaml").write_text("")
        with pytest.raises(InputError, match=f"in use by process {os.getpid()} on"):
            run_folder.RunFolder(folder.path).lock()
    again = run_folder.RunFolder.open(folder.path).lock()
    again.release()
    again.release()  # nothing to let go of: nothing happens
    assert (folder / "config.yaml").exists()


@pytest.mark.parametrize("before", [True, False])
def test_an_unused_folder_goes_unless_the_user_made_it(tmp_path, before):
    path = tmp_path / "mine"
    if before:
        path.mkdir()
    with run_folder.RunFolder.create("a", path=path):
        assert (path / "run.lock").exists()
    assert path.exists() is before
    assert not before or not list(path.iterdir())
    with run_folder.RunFolder.create("named", tmp_path) as named:
        assert named.path == tmp_path / "named"
    assert not named.path.exists()
    with run_folder.RunFolder.open_or_create(tmp_path / "trial") as trial:  # a sweep made its folders for good
        assert (trial / "run.lock").exists()
    assert list(trial.path.iterdir()) == []


def test_replacing_keeps_the_old_file_on_any_error(tmp_path):
    path = tmp_path / "a.txt"
    run_folder.write_text(path, "old")

    def half_written() -> None:
        with run_folder.replacing(path) as temporary:
            temporary.write_text("half")
            assert path.read_text() == "old"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_written()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    run_folder.write_text(path, "new")
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_and_the_old_file_stays(tmp_path, number):
    path = tmp_path / "a.txt"
    run_folder.write_text(path, "old")
    with pytest.raises(Stopped, match=r"a\.txt: the disk is full"), run_folder.replacing(path):
        raise OSError(number, os.strerror(number))
    assert path.read_text() == "old"


def test_another_fault_of_the_disk_is_not_called_a_full_one(tmp_path):
    with pytest.raises(PermissionError), run_folder.replacing(tmp_path / "a.txt"):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    with pytest.raises(FileNotFoundError), run_folder.replacing(tmp_path / "a.txt"):  # the folder is there
        (tmp_path / "b.txt").read_text()


def test_a_folder_that_was_moved_stops_the_run_and_is_named(tmp_path):
    folder = run_folder.RunFolder.create("a", tmp_path)
    folder.describe(config.Config(), config.Config(), {})
    folder.path.rename(tmp_path / "b")
    with pytest.raises(Stopped, match=r"/a: no such folder any more, moved or removed .* go on in its new place"):
        folder.write_history([])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b"]
    folder.release()


def full_disk(monkeypatch, after: int) -> None:
    """From the file with this number on, every file that is to be written finds the disk full."""
    written = []

    def fsync(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_full_disk_at_the_beginning_leaves_nothing_in_the_way(tmp_path, monkeypatch, after):
    path = tmp_path / "mine"
    full_disk(monkeypatch, after)
    with pytest.raises(Stopped, match="the disk is full"), run_folder.RunFolder.create("a", path=path) as folder:
        folder.describe(config.Config(), config.Config(), {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("function", ["mkdir", "open", "write"])
def test_a_disk_too_full_for_the_folder_is_a_stop_and_leaves_nothing(tmp_path, monkeypatch, function):
    def full(*arguments, **settings):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, function, full)
        with pytest.raises(Stopped, match="the disk is full"):
            run_folder.RunFolder.create("a", path=tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []
    run_folder.RunFolder.create("a", path=tmp_path / "mine").release()


def test_an_error_of_the_machine_is_given_the_command_that_resumes(tmp_path):
    folder = run_folder.RunFolder.create("a", tmp_path)
    folder.describe(config.Config(), config.Config(), {})
    with pytest.raises(MemoryError) as before, run_folder.RunFolder.create("b", tmp_path):
        raise MemoryError  # before there is anything to go on with
    assert not hasattr(before.value, "__notes__")

    def fails(error: Exception) -> None:
        with folder:
            raise error

    errors = (MemoryError("256 TiB"), OSError(errno.EIO, "x"), InputError("x"), Stopped("x"), MemoryError("at its end"))
    for error, notes in zip(errors, (1, 1, 0, 0, 0), strict=True):
        if "at its end" in str(error):  # of a run that is complete
            (folder / "metrics.json").touch()
        with pytest.raises(type(error)) as caught:
            fails(error)
        found = getattr(caught.value, "__notes__", [])
        assert found == [f"go on with: {run_folder.shell_command('train', '--resume', folder.path)}"] * notes


def test_the_lock_names_its_present_holder_alone(tmp_path, messages):
    folder = run_folder.RunFolder.create("a", tmp_path)
    folder.describe(config.Config(), config.Config(), {})
    folder.release()
    assert (folder / "run.lock").read_text() == ""
    (folder / "run.lock").write_text(f"process 12345678 on {'a-host-with-a-long-name' * 3}")  # was killed
    with run_folder.RunFolder.open(folder.path).lock():
        assert (folder / "run.lock").read_text() == f"process {os.getpid()} on {platform.node()}"
    message = " ".join(line.strip() for line in messages)
    assert message.startswith("note      process 12345678 on a-host-with")
    assert "was killed" in message
    assert "memory ran out: lower train.batch_size" in message
    messages.clear()
    run_folder.RunFolder.open(folder.path).lock().release()
    assert messages == []


def test_a_folder_without_the_right_to_write_is_named(tmp_path, monkeypatch):
    folder = run_folder.RunFolder.create("a", tmp_path)
    folder.describe(config.Config(), config.Config(), {})
    folder.release()

    def denied(*arguments, **settings):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(InputError, match=r"/a: cannot be written: Permission denied; expected a folder that"):
        run_folder.RunFolder.open(folder.path).lock()


def test_description_holds_config_changes_and_environment(tmp_path):
    folder = run_folder.RunFolder.create("a", tmp_path)
    changed = config.load(None, ["--seed", "7"])
    folder.describe(changed, config.Config(), {"cores": 2})
    assert (folder / "changes.txt").read_text() == "seed: 1 -> 7\n"
    assert folder.config({}) == changed
    found = json.loads((folder / "environment.json").read_text())
    assert found["hardware"] == {"cores": 2}
    assert found["packages"]["numpy"]
    assert found["command"].startswith(f"{run_folder.python()} ")


def test_each_run_has_an_identity_of_its_own(tmp_path):
    folders = [run_folder.RunFolder.create("a", tmp_path) for _ in range(2)]
    for folder in folders:
        folder.describe(config.Config(), config.Config(), {})
    identities = {folder.environment["run_id"] for folder in folders}
    assert len(identities) == 2
    assert all(len(identity) == 12 and int(identity, 16) for identity in identities)


def test_a_resume_elsewhere_is_recorded_with_what_is_other(tmp_path, monkeypatch):
    folder = run_folder.RunFolder.create("a", tmp_path)
    folder.describe(config.Config(), config.Config(), {"processor": "x", "cores": 2})
    begun = folder.environment
    assert folder.record_resume({"processor": "x", "cores": 2}) == []
    version = process._version("numpy")
    monkeypatch.setattr(process, "_version", lambda name: "9.9" if name == "numpy" else begun["packages"][name])
    monkeypatch.setattr(sys, "argv", ["train.py", "--resume", "a b"])
    changes = folder.record_resume({"processor": "x", "cores": 4})
    assert sorted(changes) == ["cores 2 -> 4", f"numpy {version} -> 9.9"]
    now = folder.environment
    assert [resume["changes"] for resume in now["resumes"]] == [[], changes]
    assert now["resumes"][1]["command"].endswith(" train.py --resume 'a b'")
    assert now["resumes"][0]["date"] >= begun["started"]
    assert {name: value for name, value in now.items() if name != "resumes"} == begun


def test_an_environment_that_cannot_be_read_is_named(tmp_path):
    folder = run_folder.RunFolder.create("a", tmp_path)
    (folder / "environment.json").write_text("{")
    with pytest.raises(InputError, match=r"environment\.json: cannot be read .*expected what a run writes"):
        folder.record_resume({})


def test_a_command_with_spaces_in_its_path_can_be_copied(tmp_path):
    command = run_folder.shell_command("train", "--resume", tmp_path / "my run's")
    assert shlex.split(command)[-2:] == ["--resume", str(tmp_path / "my run's")]
    (tmp_path / "my run").mkdir()
    (tmp_path / "my run" / "x").write_text("")
    with pytest.raises(InputError, match=r"or --resume '.*my run'$"):
        run_folder.RunFolder.create("a", path=tmp_path / "my run")


def test_commands_to_copy_name_an_interpreter_below_the_working_directory_relatively(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    assert run_folder.python() == ".venv/bin/python"
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".." / "elsewhere" / "python"))
    assert run_folder.python() == "python"


def test_history_reads_back_as_numbers(tmp_path):
    folder = run_folder.RunFolder.create("a", tmp_path)
    row = dict.fromkeys(run_folder.HISTORY_COLUMNS, 0.1) | {"epoch": 1}
    folder.write_history([row])
    assert folder.history() == [row]
    assert type(folder.history()[0]["epoch"]) is int
    assert (folder / "history.csv").read_text().splitlines()[0] == ",".join(run_folder.HISTORY_COLUMNS)


def test_the_last_unfinished_run_is_found(tmp_path):
    for age, name in enumerate(["old", "new", "done"]):
        (tmp_path / name / "checkpoint").mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text("")
        for path in (tmp_path / name, tmp_path / name / "checkpoint", tmp_path / name / "config.yaml"):
            os.utime(path, (1000 + age, 1000 + age))
    (tmp_path / "range test").mkdir()  # newest of all, without a checkpoint
    (tmp_path / "range test" / "config.yaml").write_text("")
    (tmp_path / "done" / "metrics.json").write_text("{}")
    os.utime(tmp_path / "done", (2000, 2000))
    assert run_folder.latest_unfinished(tmp_path).name == "new"
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "metrics.json").write_text("{}")  # no run: it has no config.yaml
    for age, name in enumerate(["old", "done", "new"]):
        (tmp_path / name / "metrics.json").write_text("{}")
        os.utime(tmp_path / name / "metrics.json", (1000 + age, 1000 + age))
    assert [run.name for run in run_folder.newest_runs(tmp_path)] == ["new", "done", "old"]
    with pytest.raises(InputError, match="no unfinished run"):
        run_folder.latest_unfinished(tmp_path / "new")


def test_each_reading_of_the_test_split_is_a_line(tmp_path):
    folder = run_folder.RunFolder.create("a", tmp_path)
    run_folder.record_test_reading(folder)
    run_folder.record_test_reading(folder)
    lines = (folder / "test_readings.csv").read_text().splitlines()
    assert lines[0] == "date,images,command"
    assert [line.split(",")[1] for line in lines[1:]] == ["test split", "test split"]


RECORD = """
import sys
from pathlib import Path
from keras_cnn import run_folder
folder = run_folder.RunFolder(Path(sys.argv[1]))
for number in range(50):
    run_folder.record_test_reading(folder, f"{sys.argv[2]}-{number}")
"""


def test_readings_of_several_processes_at_once_are_all_counted(tmp_path):
    folder = run_folder.RunFolder.create("a", tmp_path)
    root = Path(__file__).resolve().parents[2]
    workers = [
        subprocess.Popen([sys.executable, "-c", RECORD, folder.path, name], env=os.environ | {"PYTHONPATH": str(root)})
        for name in "abcd"
    ]
    assert [worker.wait() for worker in workers] == [0] * 4
    rows = list(csv.DictReader((folder / "test_readings.csv").read_text().splitlines()))
    expected = [f"{name}-{number}" for name in "abcd" for number in range(50)]
    assert sorted(row["images"] for row in rows) == sorted(expected)
    assert sorted(p.name for p in folder.path.iterdir()) == ["run.lock", "test_readings.csv"]


def test_readings_of_an_older_version_are_kept_as_of_the_test_split(tmp_path):
    folder = run_folder.RunFolder.create("a", tmp_path)
    (folder / "test_readings.csv").write_text("date,command\n2026-01-01,python train.py\n")
    run_folder.record_test_reading(folder, "folder:new")
    lines = (folder / "test_readings.csv").read_text().splitlines()
    assert lines[1] == "2026-01-01,test split,python train.py"
    assert lines[2].split(",")[1] == "folder:new"


def test_a_reading_that_a_full_disk_cut_off_does_not_swallow_the_next_one(tmp_path, monkeypatch):
    folder = run_folder.RunFolder.create("a", tmp_path)
    run_folder.record_test_reading(folder, "first")
    whole = (folder / "test_readings.csv").read_text()
    with monkeypatch.context() as patch:
        full_disk(patch, 0)
        with pytest.raises(Stopped, match=r"test_readings\.csv: the disk is full"):
            run_folder.record_test_reading(folder, "second")
    assert (folder / "test_readings.csv").read_text() == whole
    (folder / "test_readings.csv").write_text(whole + "2026-01-01,cut o")
    run_folder.record_test_reading(folder, "third, with a comma")
    rows = list(csv.DictReader((folder / "test_readings.csv").read_text().splitlines()))
    assert [row["images"] for row in rows] == ["first", "cut o", "third, with a comma"]


def test_a_damaged_table_of_readings_is_refused_and_left_as_it_is(tmp_path):
    folder = run_folder.RunFolder.create("a", tmp_path)
    (folder / "test_readings.csv").write_text("when,who\n1,2\n")
    with pytest.raises(InputError, match=r"test_readings\.csv: columns when, who, expected date, images and command"):
        run_folder.record_test_reading(folder)
    assert (folder / "test_readings.csv").read_text() == "when,who\n1,2\n"


def test_json_has_no_nan_and_the_old_file_stays(tmp_path):
    run_folder.write_json(tmp_path / "a.json", {"é": [1]})
    assert "é" in (tmp_path / "a.json").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="JSON compliant"):
        run_folder.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert run_folder.read_json(tmp_path / "a.json") == {"é": [1]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1]", "found list, expected a mapping"),
        ('{"seed": 1.5}', "seed: found 1.5, expected a whole number"),
        ('{"seed": NaN}', "seed: found nan, expected a whole number"),
        ('{"seed": null}', "seed: found None, expected a whole number"),
        ("{}", "seed: found None, expected a whole number"),
        ('{"seed": 1, "note": [2]}', r"note: found \[2\], expected text or null"),
        ("[" * 100_000, "cannot be read"),
        ("\udcff", "cannot be read"),
        ('{"seed": ' + "1" * 5000 + "}", r"cannot be read \(Exceeds the limit .{102}\); expected what a run writes"),
    ],
)
def test_json_of_another_shape_is_named_with_its_field(tmp_path, content, words):
    path = tmp_path / "a.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=rf"/a\.json: {words}") as caught:
        run_folder.read_json(path, {"seed": int, "note": str | None})
    assert "\n" not in str(caught.value)


def test_the_last_run_is_sought_among_those_of_the_program(tmp_path):
    for age, (name, config_text) in enumerate([("boxes", "model: {cfg: yolov3-tiny}\n"), ("photos", "seed: 1\n")]):
        (tmp_path / name / "checkpoint").mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text(config_text)
        for path in (tmp_path / name, tmp_path / name / "checkpoint", tmp_path / name / "config.yaml"):
            os.utime(path, (1000 + age, 1000 + age))
    assert run_folder.latest_unfinished(tmp_path).name == "photos"
    assert run_folder.latest_unfinished(tmp_path, detecting=True).name == "boxes"
    os.utime(tmp_path / "boxes" / "checkpoint", (3000, 3000))
    assert run_folder.latest_unfinished(tmp_path).name == "photos"


def test_what_is_no_run_is_not_opened(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        run_folder.RunFolder.open(tmp_path / "none")
    with pytest.raises(InputError, match=r"not a run folder: it has no config\.yaml"):
        run_folder.RunFolder.open(tmp_path)


def test_a_difference_of_any_part_of_the_environment_is_listed():
    begun = {"python": "3.11.1", "platform": "a", "packages": {"numpy": "2.1", "gone": "1"}, "hardware": {"cores": 2}}
    now = {"python": "3.11.2", "platform": "b", "packages": {"numpy": "2.1", "new": "3"}, "hardware": {"cores": 4}}
    expected = ["python 3.11.1 -> 3.11.2", "platform a -> b", "gone 1 -> None", "new None -> 3", "cores 2 -> 4"]
    assert sorted(process.changes(begun, now)) == sorted(expected)


@pytest.mark.parametrize(
    ("status", "commit"),
    [
        ("", "abc"),
        (" M train.py", "abc with uncommitted changes"),
        (FileNotFoundError("git"), None),
        (subprocess.CalledProcessError(128, "git"), None),  # no repository
    ],
)
def test_the_commit_is_that_of_the_code_and_says_what_is_not_committed(monkeypatch, status, commit):
    def git(words, cwd, **settings):
        assert (Path(cwd) / "process.py").is_file()
        if isinstance(status, Exception):
            raise status
        return subprocess.CompletedProcess(words, 0, stdout={"rev-parse": "abc\n", "status": status}[words[1]])

    monkeypatch.setattr(process.subprocess, "run", git)
    assert process._git_commit.__wrapped__() == commit


def test_messages_of_other_ranks_alone_do_not_keep_a_folder(tmp_path):
    with run_folder.RunFolder.create("run", path=tmp_path / "run") as folder:
        (folder / "rank-1.log").write_text("config\n")
    assert not (tmp_path / "run").exists()
