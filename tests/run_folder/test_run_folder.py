import errno
import json
import os
import shlex
import subprocess
import sys

import pytest

from keras_cnn import config, run_folder
from keras_cnn.errors import InputError, Stopped


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


def test_replacing_keeps_the_old_file_on_any_error(tmp_path):
    path = tmp_path / "a.txt"
    run_folder.write_text(path, "old")
    with pytest.raises(ZeroDivisionError), run_folder.replacing(path) as temporary:
        temporary.write_text("half" * (1 // 0))
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_named_and_the_old_file_stays(tmp_path):
    path = tmp_path / "a.txt"
    run_folder.write_text(path, "old")
    with pytest.raises(Stopped, match=r"a\.txt: the disk is full"), run_folder.replacing(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert path.read_text() == "old"


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
    version = run_folder._version("numpy")
    monkeypatch.setattr(run_folder, "_version", lambda name: "9.9" if name == "numpy" else begun["packages"][name])
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
    command = run_folder.resume_command(tmp_path / "my run's")
    assert shlex.split(command) == [run_folder.python(), "train.py", "--resume", str(tmp_path / "my run's")]
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
    with pytest.raises(InputError, match="no unfinished run"):
        run_folder.latest_unfinished(tmp_path / "new")


def test_each_reading_of_the_test_split_is_a_line(tmp_path):
    folder = run_folder.RunFolder.create("a", tmp_path)
    run_folder.record_test_reading(folder)
    run_folder.record_test_reading(folder)
    lines = (folder / "test_readings.csv").read_text().splitlines()
    assert lines[0] == "date,images,command"
    assert [line.split(",")[1] for line in lines[1:]] == ["test split", "test split"]


def test_readings_of_an_older_version_are_kept_as_of_the_test_split(tmp_path):
    folder = run_folder.RunFolder.create("a", tmp_path)
    (folder / "test_readings.csv").write_text("date,command\n2026-01-01,python train.py\n")
    run_folder.record_test_reading(folder, "folder:new")
    lines = (folder / "test_readings.csv").read_text().splitlines()
    assert lines[1] == "2026-01-01,test split,python train.py"
    assert lines[2].split(",")[1] == "folder:new"
