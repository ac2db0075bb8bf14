"""`python train.py` as a user meets it: what it refuses, and what a run on one's own photos leaves."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TINY = "[{conv: 4, kernel: 3}, {bn: }, {relu: }, {pool: 2}, {flatten: }]"
QUICK = ["--model.name", "layers", "--model.table", TINY, "--train.epochs", "1", "--tracking.wandb", "off"]
SMALL = ["--data.train", "200", *QUICK]


def python(*words: str | Path) -> subprocess.CompletedProcess:
    """A process with TensorFlow's own log level, which conftest.py sets for the other tests."""
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


# --- what is refused --------------------------------------------------------------------------------------------------

WRONG = {  # name: (arguments, words of the one line on standard error)
    "unknown option": (["--optim.lerning_rate", "3"], ["optim.lerning_rate", "did you mean learning_rate?"]),
    "unknown flag": (["-x"], ["unrecognized arguments: -x"]),
    "bad value": (["--optim.learning_rate", "fast"], ["optim.learning_rate", "'fast'", "expected a number"]),
    "option without its value": (["--run-dir"], ["--run-dir", "expected one argument"]),
    "missing config": (["nowhere.yaml"], ["nowhere.yaml", "No such file"]),
    "missing data": (["--data.source", "folder:nowhere"], ["folder:nowhere", "does not exist"]),
    "network too deep": (["--model.table", "[{conv: 4, kernel: 3}, {pool: 200}]"], ["pool1", "200×200", "28×28"]),
    "run folder in a file": (["--run-dir", "/dev/null/run"], ["/dev/null/run", "cannot make the run folder"]),
    "cache in a file": (["--data.cache_dir", "/dev/null/cache"], ["data.cache_dir", "/dev/null is not a folder"]),
    "nesterov alone": (["--optim.optimizer", "sgd", "--optim.nesterov", "true"], ["optim.nesterov", "momentum"]),
    "resume of no run": (["--resume", "nowhere"], ["nowhere", "no such folder"]),
    "resume without a run": (["--resume"], ["no unfinished run"]),
    "resume and dry run": (["--resume", "--dry-run"], ["--dry-run does not fit"]),
    "hosts and range test": (
        ["--find-learning-rate", "--hosts", "a:1,b:2", "--rank", "0"],
        ["--find-learning-rate runs on one host; --hosts does not fit it"],
    ),
    "resume and range test": (["--resume", "--find-learning-rate"], ["--find-learning-rate does not fit"]),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory, train_several) -> tuple[Path, dict[str, dict]]:
    folder = tmp_path_factory.mktemp("refused")
    config = folder / "given.yaml"
    config.write_text(f"model: {{name: layers, table: {TINY}}}\n")
    complete = {"missing config", "resume of no run", "resume without a run"}
    lines = {name: [*([] if name in complete else [config]), *words] for name, (words, _) in WRONG.items()}
    lines |= {"dry run": [config, "--data.train", "200", "--dry-run"], "options": ["--options"]}
    return folder, train_several(folder, lines)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_status_2_and_one_line(refused, name):
    answer = refused[1][name]
    assert answer["status"] == 2
    (line,) = answer["err"].splitlines()
    assert line.startswith("error: ")
    assert all(word in line for word in WRONG[name][1]), line


def test_a_dry_run_says_data_network_and_cost(refused):
    answer = refused[1]["dry run"]
    assert (answer["status"], answer["err"]) == (0, "")
    weights, per_image = 4 * 9 + 4 + 2 * 4 + (14 * 14 * 4 * 10 + 10), 28 * 28 * 4 * 9 + 14 * 14 * 4 * 10
    assert f"{weights:,} trainable parameters" in answer["out"]
    assert "200 train, 1,000 validation, 2,000 test; 10 classes; 28x28x1" in answer["out"]
    cost = f"10 epochs of 2 steps, 2,000 training images, about {3.0 * per_image * 2000:.2e} multiply-adds"
    assert cost in " ".join(answer["out"].split())


def test_neither_wrong_input_nor_a_dry_run_leaves_anything(refused):
    assert [p.name for p in refused[0].rglob("*") if p.name != "runs"] == ["given.yaml"]


def test_every_option_is_listed(refused):
    answer = refused[1]["options"]
    assert answer["status"] == 0
    for line in ("--optim.learning_rate   peak learning rate: a number (default 0.001)", "--model.name NAME", "net4"):
        assert line in answer["out"]
    assert (
        "      --model.l1_oc   output channels of the first convolution: a whole number (default 18; net2 64)"
        in answer["out"]
    )
    rotation = next(line for line in answer["out"].splitlines() if "--data.augment.rotation " in line)
    assert rotation.endswith("either way: a number (default 0.0; standard 15, comp5623 15, cs6910 20)")


def test_every_option_of_a_builder_has_help():
    code = "from keras_cnn.loading import BUILDERS; from keras_cnn.checking import options_of\n"
    code += "print([(n, o) for some in BUILDERS.values() for n, b in some.items()"
    code += " for o, x in options_of(b).items() if not x[2]])"
    assert python("-c", code).stdout.endswith("[]\n")


def test_the_script_itself_exits_with_2_and_writes_one_line():
    done = python("train.py", "--seed", "x")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: command line: seed: found 'x', expected a whole number\n"


def test_help_does_not_wait_for_tensorflow():
    code = "import sys; from keras_cnn.cli import program, train\n"
    code += "try: program.run(train.main, ['--help'])\n"
    done = python("-c", code + "finally: print(sorted({'tensorflow', 'keras', 'wandb', 'numpy'} & set(sys.modules)))")
    assert done.returncode == 0
    assert done.stdout.endswith("[]\n")
    assert done.stdout.count("keras-cnn train ") >= 4  # usage and examples to copy


# --- special runs -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def special(tmp_path_factory, train_several) -> tuple[Path, dict[str, dict]]:
    folder = tmp_path_factory.mktemp("special")
    batch = ["--overfit-batch", "--train.batch_size", "16", "--data.validation", "100", "--run-dir"]
    settings = ["--optim.optimizer", "adam", "--optim.learning_rate", "0.01"]
    config = folder / "empty.yaml"
    config.write_text("")
    lines = {
        "memorised": [config, *SMALL, *settings, *batch, "memorised", "--train.epochs", "300"],
        "not memorised": [config, *SMALL, *batch, "not memorised", "--lr", "1e-9", "--epochs", "5"],
        "range test": [config, *SMALL, "--name", "range", "--find-learning-rate", "--train.batch_size", "32"],
        "resume": ["--resume"],
    }
    return folder, train_several(folder, lines)


def test_one_batch_is_memorised_or_not(special):
    folder, answers = special
    for name, verdict in (("memorised", "memorised: all"), ("not memorised", "not memorised: ")):
        assert answers[name]["status"] == 0, answers[name]["err"]
        assert f"one batch      {verdict}" in answers[name]["out"]
        metrics = json.loads((folder / name / "metrics.json").read_text())
        assert (metrics["split"], metrics["images"], metrics["chosen_by"]) == ("train", 16, "val_accuracy")
        assert not (folder / name / "test_readings.csv").exists()
        assert not (folder / name / "predictions.csv").exists()
        split = json.loads((folder / name / "split.json").read_text())
        assert split["counts"] == {"train": 16, "validation": 100, "test": 2000}
    steps = int(re.search(r"memorised: all 16 images after (\d+) steps", answers["memorised"]["out"])[1])
    assert steps < 300
    config = (folder / "memorised" / "config.yaml").read_text()
    assert "weight_decay: 0" in config
    assert "epochs: 300" in config
    assert "after 5 steps" in answers["not memorised"]["out"]


def test_the_range_test_leaves_figure_and_numbers_and_nothing_to_resume(special):
    folder, answers = special
    assert answers["range test"]["status"] == 0, answers["range test"]["err"]
    run = folder / "runs" / "range"
    with (run / "learning_rates.csv").open() as file:
        rates, losses = zip(*((float(r["learning_rate"]), float(r["loss"])) for r in csv.DictReader(file)), strict=True)
    assert len(rates) > 50
    assert rates[0] == 1e-6
    assert np.all(np.diff(rates) > 0)
    assert np.isfinite(losses).all()
    suggested = float(answers["range test"]["out"].rpartition("--optim.learning_rate ")[2].split()[0])
    assert rates[0] < suggested < rates[-1]
    assert (run / "figures" / "learning_rates.png").read_bytes().startswith(b"\x89PNG")
    assert answers["resume"]["status"] == 2
    assert "no unfinished run" in answers["resume"]["err"]


# --- a folder of photos -----------------------------------------------------------------------------------------------

CLASSES, SIDE = ("night", "Äpfel"), 20  # in the order of their code points
FILES = """
config.yaml changes.txt notes.txt environment.json split.json run.lock model.txt model.json model.svg history.csv
train.log checkpoint/state.npz model.keras last.keras metrics.json predictions.csv test_readings.csv
figures/curves.png figures/augmentation.png figures/confusion_validation.png figures/confusion_train.png
figures/mistakes.png README.md
"""


def draw(folder: Path) -> None:
    """Light and dark noise, grey and RGB, PNG and JPEG, of one size, under names that are not ASCII."""
    rng = np.random.default_rng(5)
    for name, (low, high) in zip(CLASSES, ((0, 170), (90, 256)), strict=True):
        (folder / name).mkdir(parents=True)
        for i in range(20):
            shape = (SIDE, SIDE) if i % 3 == 0 else (SIDE, SIDE, 3)
            picture = Image.fromarray(rng.integers(low, high, shape).astype(np.uint8))
            picture.save(folder / name / f"größe {i} ☀.{'jpg' if i % 5 == 0 else 'png'}")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> tuple[Path, str]:
    """The finished run's folder and what it printed."""
    folder = tmp_path_factory.mktemp("photos")
    draw(folder / "Fotos")
    data = ["--data.source", f"folder:{folder / 'Fotos'}", "--data.test", "10", "--data.cache_dir", folder / "cache"]
    more = ["--train.epochs", "3", "--train.batch_size", "8", "--precision", "float32", "--data.augment.name", "light"]
    done = python(
        "train.py", *QUICK, *data, *more, "--data.validation=6", "--optim.gamma=0.5", "--run-dir", folder / "run"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder / "run", done.stdout


def test_the_log_has_the_line_of_the_comp5623_coursework(photos):
    printed = "epoch: 0\ttraining loss: 2.321\tvalidation loss: 2.309\tAccuracy: 9.3%"  # in the report

    def shape(line: str) -> str:
        return re.sub(r"\d+(\.?\d*)", lambda match: "0" + re.sub(r"\d", "0", match[1]), line)

    rows = csv.DictReader((photos[0] / "history.csv").read_text().splitlines())
    for line, row in zip((photos[0] / "train.log").read_text().splitlines(), rows, strict=True):
        assert shape(line) == shape(printed)
        epoch, *numbers = map(float, re.findall(r"\d+\.?\d*", line))
        loss, val_loss, accuracy = (float(row[name]) for name in ("loss", "val_loss", "val_accuracy"))
        assert epoch == int(row["epoch"]) - 1
        assert numbers == [round(loss, 3), round(val_loss, 3), round(100 * accuracy, 1)]


def test_the_next_commands_can_be_copied(photos):
    run, printed = photos
    lines = printed.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("next "))
    told = [shlex.split(line.removeprefix("next").partition("   (")[0]) for line in lines[first:]]
    told = [words for words in told if words and "--overfit-batch" not in words]  # of a run no better than guessing
    assert [words[1] for words in told] == ["predict.py", "visualize.py", "report.py", "finetune.py"]
    assert told[3][2:] == [str(run.parent / "Fotos"), "--backbone", "mobilenetv2"]  # few photos
    page = python(*told[2][1:], "--out", run.parent / "page.html")
    assert page.returncode == 0, page.stderr
    assert (run.parent / "page.html").stat().st_size > 1e6


def test_notes_about_options_without_effect_are_printed_and_kept(photos):
    note = "optim.gamma 0.5 has no effect with optim.schedule one_cycle"
    assert f"note      {note}\n" in photos[1]
    *_, unsettled = (photos[0] / "notes.txt").read_text().splitlines()
    assert (photos[0] / "notes.txt").read_text() == f"{note}\n{unsettled}\n"
    assert unsettled.startswith("after 9 steps the statistics of batch norms with momentum 0.9 still hold 39% of what")


def predictions(run: Path) -> list[dict[str, str]]:
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_on_photos_leaves_a_complete_folder(photos):
    run, printed = photos
    files = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()}
    assert files == set(FILES.split())
    assert {name for name in files if not (run / name).stat().st_size} == {"run.lock"}  # nobody holds it
    assert f"run folder     {run}" in printed
    assert "24 train, 6 validation, 10 test; 2 classes; 20x20x3" in printed
    assert len((run / "history.csv").read_text().splitlines()) == 1 + 3
    assert [line.split("\t")[0] for line in (run / "train.log").read_text().splitlines()] == [
        "epoch: 0", "epoch: 1", "epoch: 2"
    ]  # fmt: skip
    assert len((run / "test_readings.csv").read_text().splitlines()) == 1 + 1
    assert "train.epochs: 10 -> 3" in (run / "changes.txt").read_text()


def test_the_predictions_are_the_test_split_and_give_the_accuracy(photos):
    run, printed = photos
    rows, metrics = predictions(run), json.loads((run / "metrics.json").read_text())
    split = json.loads((run / "split.json").read_text())
    assert [row["id"] for row in rows] == split["ids"]["test"]
    for row in rows:
        assert Path(row["path"]).is_file()
        assert Path(row["path"]).parent.name == row["true"]
        chances = [float(row[f"p_{name}"]) for name in CLASSES]
        assert sum(chances) == pytest.approx(1)
        assert row["predicted"] == CLASSES[int(np.argmax(chances))]
    correct = [row["true"] == row["predicted"] for row in rows]
    assert [int(row["correct"]) for row in rows] == correct
    assert metrics["accuracy"] == pytest.approx(sum(correct) / 10)
    assert f"test accuracy  {sum(correct) / 10:.4f}  [" in printed
    history = csv.DictReader((run / "history.csv").read_text().splitlines())
    assert metrics["validation"]["accuracy"] == pytest.approx(max(float(row["val_accuracy"]) for row in history))


PLAIN = """
import csv, json, sys
import keras, numpy as np
from PIL import Image
model = keras.saving.load_model(sys.argv[1] + "/model.keras", safe_mode=True)
rows = list(csv.DictReader(open(sys.argv[1] + "/predictions.csv", encoding="utf-8", newline="")))
images = np.stack([np.asarray(Image.open(row["path"]).convert("RGB"), "float32") for row in rows])
assert "keras_cnn" not in sys.modules
print(json.dumps(np.asarray(keras.ops.softmax(model(images, training=False))).tolist()))
"""


def test_plain_keras_loads_the_model_and_predicts_the_same(photos, tmp_path):
    run, _ = photos
    done = subprocess.run(
        [sys.executable, "-I", "-c", PLAIN, run], cwd=tmp_path, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    found, rows = json.loads(done.stdout.splitlines()[-1]), predictions(run)
    assert len({Path(row["path"]).suffix for row in rows}) == 2
    for chances, row in zip(found, rows, strict=True):
        tolerance = 1e-5 if row["path"].endswith(".png") else 0.02  # JPEG decoders differ by a grey level or two
        assert chances == pytest.approx([float(row[f"p_{name}"]) for name in CLASSES], abs=tolerance)
