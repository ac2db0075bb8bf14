import io
import os
import zipfile

import numpy as np
import pytest

from keras_cnn.errors import InputError
from keras_cnn.training import checkpoints

GROUPS = {"model": [np.arange(6, dtype="float32").reshape(2, 3), np.array(3, "int64")], "optimizer": [], "average": []}


def test_what_is_saved_comes_back_to_the_bit(tmp_path):
    checkpoints.save(tmp_path / "checkpoint", GROUPS, {"position": {"epoch": 3, "loss_sum": 0.1 + 0.2}})
    checkpoint = checkpoints.load(tmp_path / "checkpoint")
    groups = checkpoint.groups
    assert checkpoint.state == {"position": {"epoch": 3, "loss_sum": 0.1 + 0.2}}
    assert set(groups) == {"model"}
    for found, expected in zip(groups["model"], GROUPS["model"], strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_no_checkpoint_is_none(tmp_path):
    assert checkpoints.load(tmp_path / "checkpoint") is None


@pytest.mark.parametrize("kept", [0, 10, 200, -30])
def test_a_truncated_checkpoint_is_named(tmp_path, kept):
    checkpoints.save(tmp_path, GROUPS, {})
    path = tmp_path / checkpoints.FILE
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match="damaged checkpoint"):
        checkpoints.load(tmp_path)


def test_a_flipped_byte_is_found(tmp_path):
    checkpoints.save(tmp_path, {"model": [np.zeros(1000, "float32")]}, {})
    path = tmp_path / checkpoints.FILE
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged checkpoint"):
        checkpoints.load(tmp_path)


def test_a_declared_size_beyond_the_memory_is_refused(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 45,)})
    with zipfile.ZipFile(tmp_path / checkpoints.FILE, "w") as archive:
        archive.writestr("model/00000.npy", header.getvalue())
    with pytest.raises(InputError, match=r"damaged checkpoint \(declares arrays of 131,072.0 GiB"):
        checkpoints.load(tmp_path)


class RunsCode:
    """Its pickle makes a folder when it is read."""

    def __reduce__(self):
        return os.mkdir, ("was here",)


def test_pickles_are_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoints.save(tmp_path, GROUPS, {})
    with np.load(tmp_path / checkpoints.FILE) as archive:
        arrays = {name: archive[name] for name in archive.files}  # a checkpoint but for one of its arrays
    np.savez(tmp_path / checkpoints.FILE, **arrays | {"optimizer/00000": np.array([RunsCode()], dtype=object)})
    with pytest.raises(InputError, match=r"damaged checkpoint .*allow_pickle=False"):
        checkpoints.load(tmp_path)
    assert not (tmp_path / "was here").exists()


def test_a_checkpoint_of_another_model_names_the_first_difference(tmp_path):
    class Variable:
        path, shape = "conv1/kernel", (3, 3)

    with pytest.raises(InputError, match=r"array 0 has shape \(2, 3\), expected \(3, 3\) for conv1/kernel"):
        checkpoints.assign([Variable()], GROUPS["model"][:1], tmp_path)
    with pytest.raises(InputError, match="2 arrays, expected 0"):
        checkpoints.assign([], GROUPS["model"], tmp_path)
