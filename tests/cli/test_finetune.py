"""`python finetune.py` as a user meets it: what it refuses, what a run leaves, and what other programs make of it."""

import json
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

THIS = """
from keras_cnn.cli import finetune as train
from keras_cnn.tensorflow_import import import_tensorflow
import_tensorflow()
from keras_cnn.tasks.classification import results
results.draw_figures = results.draw_augmentation = lambda *_: None
import keras.src.utils.file_utils as files
def offline(name, origin, **_):
    raise Exception(f"URL fetch failure on {origin}: None -- [Errno -2] Name or service not known")
files.get_file = offline
"""
SEVERAL = """
from keras_cnn.cli import evaluate, finetune, report
class train:
    def main(words):
        {"finetune": finetune, "evaluate": evaluate, "report": report}[words[0]].main(words[1:])
"""
RESNET = ["--backbone", "resnet18", "--weights", "none"]
QUICK = ["--data.image_size", "32", "--precision", "float32", "--train.epochs", "2", "--tracking.wandb", "off"]


def draw(folder: Path, classes: int, count: int, side: int = 32) -> Path:
    """Class after class lighter noise."""
    rng = np.random.default_rng(7)
    for number in range(classes):
        (folder / f"class {number}").mkdir(parents=True)
        for i in range(count):
            picture = rng.integers(60 * number, 60 * number + 120, (side, side, 3), np.uint8)
            Image.fromarray(picture).save(folder / f"class {number}" / f"{i}.png")
    return folder


class Runs:
    """What a pickle does that runs code: to be refused unread."""

    def __reduce__(self):
        return (Path.touch, (Path("was here"),))


def write_weights(folder: Path) -> None:
    header = {"conv1.weight": {"dtype": "F32", "shape": [64, 3, 7, 7], "data_offsets": [0, 37632]}}
    text = json.dumps(header).encode()
    (folder / "cut.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(100))
    header = {"stem.weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode()
    (folder / "foreign.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    (folder / "cut.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50))
    with zipfile.ZipFile(folder / "code.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"conv1.weight": Runs()}, protocol=2))
        archive.writestr("archive/version", "3\n")


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder]
    mounted = sys.platform == "linux" and subprocess.run(command, capture_output=True).returncode == 0
    yield folder if mounted else None
    if mounted:
        subprocess.run(["umount", folder], check=True)


def weights(file: str) -> list[str]:
    return ["--backbone", "resnet18", "--weights", file]


WRONG = {  # name: (arguments, words of the one line on standard error)
    "unknown backbone": (["--backbone", "resnet5"], ["model.name: 'resnet5' is unknown", "did you mean resnet50?"]),
    "no backbone": (["--backbone", "net1"], ["model.name: net1 is no backbone", "train.py"]),
    "unknown layer": (
        [*RESNET, "--freeze-upto", "layer2_0_conv3"],
        ["finetune.freeze_upto", "'layer2_0_conv3'", "did you mean layer2_0_conv"],
    ),
    "too many layers": ([*RESNET, "--freeze-upto", "41"], ["finetune.freeze_upto: found 41, expected -40 to 40"]),
    "too many left": ([*RESNET, "--unfreeze-last", "41"], ["finetune.freeze_upto: found -41, expected -40 to 40"]),
    "a fraction": ([*RESNET, "--freeze-upto", "0.5"], ["finetune.freeze_upto", "no stage or layer '0.5'"]),
    "freeze and unfreeze": (
        [*RESNET, "--unfreeze-last", "3", "--freeze-upto", "2"],
        ["--freeze-upto and --unfreeze-last: expected one of them"],
    ),
    "unfreeze below 0": ([*RESNET, "--unfreeze-last", "-3"], ["--unfreeze-last -3: expected a number of at least 0"]),
    "nothing to unfreeze": (
        [*RESNET, "--finetune.strategy", "staged"],
        ["finetune.strategy staged: found finetune.freeze_upto all, expected a part of the backbone to unfreeze"],
    ),
    "small images": (
        ["--backbone", "xception", "--weights", "none"],
        ["xception: images of 32×32, expected at least 71×71"],
    ),
    "one class": ([*RESNET, "--data.source", "folder:one"], ["one", "class"]),
    "two images a class": (
        [*RESNET, "--data.source", "folder:two images"],
        ["3 for test + 3 for validation cannot be cut from 6 images of 3 classes", "at least one image of each class"],
    ),
    "no weights file": (weights("nowhere.pth"), ["nowhere.pth: no such weights file"]),
    "unknown weights": (weights("imagnet"), ["weights: found 'imagnet', expected imagenet, none or a file"]),
    "weights cut off": (weights("cut.safetensors"), ["cut.safetensors"]),
    "h5 weights cut off": (weights("cut.h5"), ["cut.h5"]),
    "foreign weights": (
        weights("foreign.safetensors"),
        ["foreign.safetensors: no weights of resnet18: 40 missing", "extra in the file: stem"],
    ),
    "weights with code": (weights("code.pth"), ["code.pth"]),
    "offline": (weights("imagenet"), ["put torchvision's resnet18-f37072fd.pth into"]),
    "offline with Keras's": (
        ["--backbone", "mobilenet", "--weights", "imagenet", "--data.image_size", "128"],
        ["mobilenet_1_0_128_tf_no_top.h5", "Name or service not known"],
    ),
    "views of mixed images": (
        [*RESNET, "--data.augment.name", "light", "--data.augment.mixup", "0.2", "--finetune.augment_views", "2"],
        ["finetune.augment_views: found 2 with data.augment.mixup"],
    ),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory, train_several, small_disk) -> tuple[Path, dict[str, dict]]:
    folder = tmp_path_factory.mktemp("refused")
    draw(folder / "photos", 3, 14)
    draw(folder / "one", 1, 10)
    draw(folder / "two images", 3, 2)
    draw(folder / "three images", 3, 3)
    write_weights(folder)
    data = [*QUICK, "--data.source", "folder:photos", "--data.cache_dir", folder / "cache"]
    lines = {name: [*data, *words] for name, (words, _) in WRONG.items()}
    lines["dry run"] = [*data, *RESNET, "--freeze-upto", "layer2", "--dry-run"]
    three = [*RESNET, "--data.source", "folder:three images", "--run-dir", "three", "--train.batch_size", "4"]
    lines["three images a class"] = [*data, *three]
    if small_disk:
        disk = ["--data.cache_dir", small_disk, "--finetune.features", "disk", "--run-dir", "full"]
        lines["full disk"] = [*data, *RESNET, "--freeze-upto", "conv1", *disk]
    before = f"import os\nos.environ['KERAS_HOME'] = {str(folder / 'keras')!r}\n"
    return folder, train_several(folder, lines | {"options": ["--options"]}, before + THIS)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_status_2_and_one_line(refused, name):
    answer = refused[1][name]
    assert answer["status"] == 2, answer
    (line,) = answer["err"].splitlines()
    assert line.startswith("error: ")
    assert all(word in line for word in WRONG[name][1]), line


def test_what_is_refused_leaves_nothing_and_runs_nothing(refused):
    folder, _ = refused
    left = {path.name for path in folder.iterdir()}
    given = {
        "photos",
        "one",
        "two images",
        "three images",
        "cut.safetensors",
        "foreign.safetensors",
        "cut.h5",
        "code.pth",
    }
    assert left - given <= {"cache", "three", "full", "keras", "runs"}
    assert not list(folder.glob("runs/*"))
    assert not list(folder.rglob("was here"))


def test_a_dry_run_says_plan_features_and_cost(refused):
    answer = refused[1]["dry run"]
    assert (answer["status"], answer["err"]) == (0, "")
    assert re.search(r"layer2 +10 +[\d,]+ +frozen +inference +-\n", answer["out"])
    assert re.search(r"layer3 +10 +[\d,]+ +trained +training +0\.001\n", answer["out"])
    assert "weights   none: every layer as initialised" in answer["out"]
    # 42 images less the test split, at 4 × 4 × 128 float32 numbers each
    found = re.search(
        r"ends at layer2_1_relu 4×4×128, .*\n +computed once for (\d+) images and kept: ([\d.]+) MiB", answer["out"]
    )
    assert float(found[2]) == round(int(found[1]) * 4 * 4 * 128 * 4 / 2**20, 1)
    assert "dry run: no run folder was made" in answer["out"]


def test_three_images_a_class_are_one_for_each_part(refused):
    answer = refused[1]["three images a class"]
    assert answer["status"] == 0, answer["err"]
    metrics = json.loads((refused[0] / "three" / "metrics.json").read_text())
    assert [metrics["train"]["images"], metrics["validation"]["images"], metrics["images"]] == [3, 3, 3]


def test_a_full_disk_is_named_with_need_and_room_and_left_as_it_was(refused, small_disk):
    if not small_disk:
        pytest.skip("mounting a small disk takes root on Linux")
    answer = refused[1]["full disk"]
    assert answer["status"] == 2, answer
    (line,) = answer["err"].splitlines()
    assert re.search(
        rf"the cache of finetune.features needs 0\.\d+ MiB in {small_disk}, where 0\.\d+ MiB are free", line
    )
    assert not [path.name for path in small_disk.iterdir() if path.name.startswith("features-")]


def test_the_options_of_all_backbones_are_listed_once(refused):
    text = refused[1]["options"]["out"]
    assert len(text.splitlines()) < 150  # not again for each of the fifty backbones
    assert text.count("--model.weights ") == text.count("--finetune.freeze_upto ") == 1
    assert text.count("efficientnetv2b0") == 1


# --- a run, and what other programs make of it ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, train_several) -> tuple[Path, dict[str, dict]]:
    folder = tmp_path_factory.mktemp("tuned")
    draw(folder / "photos", 3, 16)
    data = [*QUICK, "--data.source", "folder:photos", "--data.cache_dir", folder / "cache", "--train.batch_size", "8"]
    run = [*data, *RESNET, "--unfreeze-last", "5", "--finetune.features", "disk", "--run-dir", "run"]
    lines = {"finetune": run, "evaluate": ["run"], "report": ["run", "--out", "page.html"]}
    return folder, train_several(folder, {name: [name, *words] for name, words in lines.items()}, THIS + SEVERAL)


def test_a_run_says_its_plan_its_verification_and_what_to_do_next(tuned):
    folder, answers = tuned
    assert answers["finetune"]["status"] == 0, answers["finetune"]["err"]
    text = answers["finetune"]["out"]
    assert re.search(r"layer4 +10 +[\d,]+ +trained, 5 layers frozen +2 of 5 inference +0\.001\n", text)
    assert "kept: " in text
    assert "float32 on disk" in text
    assert "verified  weights and statistics of 35 frozen layers unchanged, byte for byte" in text
    assert " finetune --export run   (for phones and other programs)" in text
    told = json.loads((folder / "run" / "freeze.json").read_text())
    assert len(told["frozen"]) == 35
    assert [row["stage"] for row in told["stages"]] == ["conv1", "layer1", "layer2", "layer3", "layer4", "head"]
    assert "finetune.freeze_upto: 0 -> -5" in (folder / "run" / "changes.txt").read_text()
    assert len(list((folder / "cache").glob("features-*.npy"))) == 2


def test_the_parameters_of_model_txt_are_those_that_train(tuned):
    totals = json.loads((tuned[0] / "run" / "model.json").read_text())["totals"]
    # the last block's two convolutions and batch norms, the shortcut's batch norm before it, and the head
    assert totals["trainable"] == 2 * (3 * 3 * 512 * 512) + 3 * (2 * 512) + (512 * 3 + 3)
    # torchvision's 11,689,512 of 1,000 classes, and 4,800 channels' means and variances, which it calls buffers
    assert totals["trainable"] + totals["other"] == 11_689_512 - 997 * 513 + 2 * 4800


def test_evaluate_and_report_take_a_fine_tuned_run(tuned):
    folder, answers = tuned
    for name in ("evaluate", "report"):
        assert answers[name]["status"] == 0, answers[name]["err"]
        assert answers[name]["err"] == ""
    run = json.loads((folder / "run" / "metrics.json").read_text())
    again = json.loads((folder / "run" / "evaluations" / "test" / "metrics.json").read_text())
    assert again["accuracy"] == run["accuracy"]
    assert again["loss"] == pytest.approx(run["loss"], rel=1e-4)
    assert (folder / "page.html").stat().st_size > 1e6
