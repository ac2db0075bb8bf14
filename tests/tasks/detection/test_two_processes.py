import pytest

from keras_cnn.run_folder import RunFolder
from tests.two_processes import PROGRAM, both


def test_a_detector_trained_in_two_processes(fork_server, small_cfg, rectangles, tmp_path):
    source = rectangles(tmp_path / "set", {"train": 14, "val": 4, "test": 4})
    words = ["--train", "--data.source", f"coco:{source}", "--data.image_size", 64, "--model.cfg", small_cfg]
    words += ["--train.epochs", 1, "--train.batch_size", 4, "--tracking.wandb", "off", "--precision", "float32"]
    first, second = both(fork_server, [*words, "--run-dir", tmp_path / "two"], program="detect")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    alone = fork_server.run(PROGRAM, "detect", 0, 0, *words, "--run-dir", tmp_path / "one")
    assert alone.returncode == 0, alone.stderr
    [two], [one] = (RunFolder(tmp_path / name).history() for name in ("two", "one"))
    for name in ("loss", "val_loss"):
        assert two[name] == pytest.approx(one[name], rel=5e-4)  # 1.2e-4 on one processor, below 1e-4 on another
