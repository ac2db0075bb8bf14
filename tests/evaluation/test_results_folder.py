"""The folder of results is replaced as one; killed at any moment, either the old or the new one can be read."""

import os

import pytest

from keras_cnn.errors import InputError
from keras_cnn.evaluation.results_folder import (
    check_writable,
    keep_comparisons,
    replacing_folder,
    restore_evaluations,
    restore_folder,
)


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "evaluations" / "test"
    for text in ("old", "new"):
        with replacing_folder(folder, tmp_path) as staged:
            (staged / text).write_text(text)
            assert not (folder / text).exists()
        assert [p.name for p in folder.iterdir()] == [text]

    def stopped_half_way():
        with replacing_folder(folder, tmp_path) as staged:
            (staged / "half").write_text("")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_half_way()
    assert [p.name for p in folder.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["evaluations"]


def test_comparisons_are_kept_where_the_predictions_are_the_same(tmp_path):
    old, same, other = (tmp_path / name for name in ("old", "same", "other"))
    for folder, text in ((old, "a"), (same, "a"), (other, "b")):
        folder.mkdir()
        (folder / "predictions.csv").write_text(text)
    (old / "against_x").mkdir()
    (old / "against_x" / "comparison.json").write_text("{}")
    keep_comparisons(old, same)
    keep_comparisons(old, other)
    keep_comparisons(tmp_path / "nowhere", other)
    assert (same / "against_x" / "comparison.json").read_text() == "{}"
    assert not (other / "against_x").exists()


class Killed(BaseException):
    """Ends the replacement as a signal that cannot be caught would: nothing after it runs."""


@pytest.mark.parametrize("renames", [1, 2])
def test_killed_after_a_rename_the_old_or_the_new_folder_is_restored(tmp_path, monkeypatch, renames):
    folder = tmp_path / "evaluations" / "test"
    folder.mkdir(parents=True)
    (folder / "old").write_text("")
    done = []

    def rename(source, target):
        os.replace(source, target)
        done.append(target)
        if len(done) == renames:
            raise Killed

    monkeypatch.setattr("os.rename", rename)
    with pytest.raises(Killed), replacing_folder(folder, tmp_path) as staged:
        (staged / "new").write_text("")
    monkeypatch.undo()
    assert folder.exists() == (renames == 2)
    restore_evaluations(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["old" if renames == 1 else "new"]
    assert [path.name for path in folder.parent.iterdir()] == ["test"]


def test_an_interrupted_comparison_is_restored_and_other_folders_stay(tmp_path):
    folder = tmp_path / "evaluations" / "test" / ".against_other.replaced"
    folder.mkdir(parents=True)
    (tmp_path / "evaluations" / "train").mkdir()
    restore_evaluations(tmp_path)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["against_other"]
    restore_folder(tmp_path / "evaluations" / "train")
    assert (tmp_path / "evaluations" / "train").is_dir()


def test_a_read_only_folder_is_named(tmp_path, monkeypatch):
    check_writable(tmp_path)
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(InputError, match=f"^{tmp_path}: is read-only; expected a folder that can be written"):
        check_writable(tmp_path)
    check_writable(tmp_path / "absent")
