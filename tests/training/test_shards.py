"""A run on shards is the run on the folder of the same images, also if it is killed and resumed."""

import io
import json
import zipfile
from pathlib import Path

import h5py
import pytest

from keras_cnn.cli import commands
from tests.data.shards.photos import fill
from tests.training.test_resume import NO_FIGURES, ROOT, history, killed

STEPS = 5
TABLE = "[{conv: 4, kernel: 3}, {bn: }, {relu: }, {pool: 2}, {flatten: }, {dropout: 0.3}, {dense: 16}, {relu: }]"


def arguments(source: str, run: Path) -> list[str]:
    options = {
        "data.source": source,
        "data.image_size": 24,
        "data.cache": "none",  # each epoch reads the shards
        "data.cache_dir": run.parent / "cache",
        "data.augment.name": "imagenet",  # crops are cut while images are decoded
        "model.name": "layers",
        "model.table": TABLE,
        "train.epochs": 2,
        "train.batch_size": 16,
        "tracking.wandb": "off",
    }
    return ["configs/default.yaml", *(str(w) for k, v in options.items() for w in (f"--{k}", v)), "--run-dir", str(run)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, fork_server, train_several) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    fill(folder / "photos", {"cat": 50, "dog": 50})
    options = ["--size", "60KB", "--workers", "1", "--data.cache_dir", str(folder / "cache")]
    assert commands.main(["shards", str(folder / "photos"), str(folder / "shards"), *options]) == 0
    sources = {"whole": f"folder:{folder}/photos", "sharded": f"shards:{folder}/shards"}
    moment = ("keras_cnn.training.state:TrainingState", "add", STEPS + 2)
    killed(fork_server, moment, arguments(sources["sharded"], folder / "killed"), folder / "killed")
    lines = {name: arguments(source, folder / name) for name, source in sources.items()}
    lines["killed"] = ["--resume", folder / "killed"]
    answers = train_several(ROOT, lines, NO_FIGURES)
    assert {name: answer["status"] for name, answer in answers.items()} == dict.fromkeys(lines, 0), answers
    return folder


@pytest.mark.parametrize("name", ["sharded", "killed"])
def test_history_weights_and_splits_are_those_of_the_folder(runs, name):
    assert len(history(runs / "whole")) == 3
    assert history(runs / name) == history(runs / "whole")
    expected = weights(runs / "whole" / "model.keras")
    assert len(expected) > 5
    assert weights(runs / name / "model.keras") == expected
    ids = [json.loads((runs / run / "split.json").read_text())["sha256"] for run in (name, "whole")]
    assert ids[0] == ids[1]


def weights(model: Path) -> dict[str, bytes]:
    """name -> bytes of each array in a Keras file."""
    found = {}
    with zipfile.ZipFile(model) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(lambda name, item: found.update({name: item[()].tobytes()}) if hasattr(item, "shape") else None)
    return found
