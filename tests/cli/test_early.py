"""What is answered without TensorFlow, and the short names of a command."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from keras_cnn import config, networks
from keras_cnn.cli import early
from keras_cnn.cli.parser import Parser, laid_out
from keras_cnn.cli.train import photos_named
from keras_cnn.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def parser() -> Parser:
    made = Parser(prog="p")
    made.option("--resume")
    made.fields(config.names())
    return made


def test_short_names_are_those_of_their_fields(parser):
    words = ["--epochs", "3", "--lr=1e-2", "--batch-size", "8", "--model", "net1", "--data", "x", "--image-size", "32"]
    _, overrides = parser.split([*words, "--seed", "2", "--model.l1_oc", "4"])
    assert overrides == [
        *("--train.epochs", "3", "--optim.learning_rate=1e-2", "--train.batch_size", "8", "--model.name", "net1"),
        *("--data.source", "x", "--data.image_size", "32", "--seed", "2", "--model.l1_oc", "4"),
    ]


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("--learning-rate", "--optim.learning_rate"),
        ("--weight_decay", "--optim.weight_decay"),
        ("--resum", "--resume"),
        ("--batchsize", "--batch-size"),
    ],
)
def test_an_unknown_option_gets_the_nearest_of_all_sections(parser, typed, nearest):
    with pytest.raises(InputError, match=f"unknown option {typed}; did you mean {nearest}\\?"):
        parser.split([typed, "1"])


def test_an_existing_folder_is_a_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "C:\\photos"):
        Path(name).mkdir()
        assert early.with_sources(["--data.source", name, "--seed", "1"]) == [
            *("--data.source", f"folder:{name}"),
            *("--seed", "1"),
        ]
    assert early.with_sources(["--data.source=photos"]) == ["--data.source=folder:photos"]
    Path("labels.CSV").touch()
    assert early.as_source("labels.CSV") == "csv:labels.CSV"
    for text in ("fashion-mini", "folder:photos", "nowhere"):
        assert early.as_source(text) == text


@pytest.mark.parametrize("given", ["folder:photos", "csv:labels.csv", "parquet:labels.parquet"])
def test_a_source_of_photos_stands_in_place_of_a_config(given):
    chosen = argparse.Namespace(config=Path(given))
    assert photos_named(chosen, []) == ["--data.source", given]
    assert chosen.config is None
    assert photos_named(argparse.Namespace(config=Path("cs7015_net4")), []) == []


ANSWERS = {  # program and arguments -> words of its error; none of them may import TensorFlow
    ("train", "--lr", "fast"): "optim.learning_rate: found 'fast', expected a number",
    ("train", "--model", "resnet18"): "expected that file, or a path, or --model.weights none",
    ("train", "--model", "resnett"): "model.name: 'resnett' is unknown; did you mean resnet",
    ("train", "photos/", "--data", "fashion-mini"): "expected one source of images",
    ("train", "csv:a.csv", "--data", "fashion-mini"): "csv:a.csv and --data.source (--data): expected one source",
    ("train", "--sweep", "cs691"): "cs691: no such file, and no sweep of the package; did you mean cs6910?",
    ("finetune", "--backbone", "resnet5", "--freeze-upto", "all"): "model.name: 'resnet5' is unknown",
    ("finetune", "--backbone", "resnet8"): "expected --model.weights fashion",
    ("finetune", "--export", "nowhere"): "nowhere: no such folder",
    ("evaluate", "nowhere"): "nowhere: no such folder; expected a run folder",
    ("visualize", "photos", "gradcam"): "unknown view 'gradcam'; did you mean attribution --method grad-cam?",
    ("visualize", "resnet5", "kernels"): "nor a backbone; did you mean resnet50?",
    ("evaluate", "photo"): "photo: no such folder; expected a run folder, such as runs/fashion; did you mean photos?",
    ("train", "label.csv"): "label.csv: no such table of labels",
    ("train", "photo/"): "photo: no such file or folder, and no config of the package; did you mean photos?",
    ("report", "nowhere"): "nowhere: no such folder; expected a run folder",
    ("predict", "photo", "new.jpg"): "photo: no such run, model file or export; did you mean photos?",
    ("predict", "model.onnx", "new.jpg", "--explain", "grad-cam"): "--explain: model.onnx is an export",
    ("predict", "photos", "new.jpg", "--explain", "gradcam"): "unknown method 'gradcam'; did you mean grad-cam?",
    ("visualize", "photos", "attribution", "--method", "gradcam"): "--method: unknown method 'gradcam'; did you mean",
    ("visualize", "photos", "kernels", "--layr", "conv1"): "unrecognized arguments: --layr; did you mean --layer?",
    ("visualize",): "no run in runs/; expected SOURCE VIEW",
    ("detect", "photos", "--model", "yolov3-tiny"): "its weights are not found",
    ("detect", "--train", "--lr", "fast"): "optim.learning_rate: found 'fast'",
    ("models", "resnet5"): "resnet5: no network; did you mean resnet50?",
    ("models", "--draw", "pictures"): "--draw pictures: no network, expected: models NAME",
    ("models", "net4", "--formula"): "--formula: found net4, expected: models five_block --formula",
    ("models", "five_block", "--formula", "m=32", "K=3"): "unknown letter 'K'; expected one of m, k, l, n, c, o",
    ("models", "five_block", "--formula", "m=32", "k=3"): "--formula: no number for l, n; expected m, k, l and n",
    ("models", "five_block", "--formula", "m=0"): "--formula m=0: expected LETTER=NUMBER",
    ("models", "five_block", "--formula", "m=8", "k=3", "l=10", "n=4"): "conv5: a map of 0 pixels",
}


def test_wrong_commands_are_answered_without_tensorflow(tmp_path):
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    code = "import sys, importlib\nfrom keras_cnn.cli import program\n"
    code += f"for name, *words in {list(ANSWERS)!r}:\n"
    code += "    status = program.run(importlib.import_module('keras_cnn.cli.' + name).main, words)\n"
    code += "    print(status, 'tensorflow' in sys.modules, file=sys.stderr)\n"
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    lines = done.stderr.splitlines()
    assert lines[1::2] == ["2 False"] * len(ANSWERS), done.stderr
    for (command, said), line in zip(ANSWERS.items(), lines[::2], strict=True):
        assert said in line, command


def test_help_fits_the_terminal_and_keeps_its_commands_whole(monkeypatch):
    monkeypatch.setenv("COLUMNS", "48")
    command = "keras-cnn predict runs/photos photo.jpg --top 3"
    text = f"""examples:
  {command}  the most probable classes of one image or another
  keras-cnn models   all networks

views:
  kernels      the kernels of convolutions as RGB and one by one
  all          all of these

A paragraph of more than the forty-eight
characters of a line.
"""
    assert list(laid_out(text)) == [
        "examples:",
        f"  {command}",
        "      the most probable classes of one image or",
        "      another",
        "  keras-cnn models",
        "      all networks",
        "",
        "views:",
        "  kernels  the kernels of convolutions as RGB",
        "           and one by one",
        "  all      all of these",
        "",
        "A paragraph of more than the forty-eight",
        "characters of a line.",
        "",
    ]


def test_the_catalogue_has_the_networks_that_can_be_built():
    from keras_cnn import models
    from keras_cnn.models import arithmetic, backbones

    assert sorted(networks.names()) == sorted(models.BUILDERS)
    for network in networks.published():
        assert network.image_size == str(backbones.default_side(network.name))
        assert network.licence
    listed = networks.find("mobilenetv2")
    # Sandler et al. 2018, table 4: 3.4 M parameters, 300 M multiply-adds; keras.io: 3.5 M and 71.3 %.
    assert (listed.parameters, listed.top1, round(listed.multiply_adds / 1e6)) == (3_538_984, 71.3, 301)
    small = networks.find("resnet8")
    model = backbones.classifier("resnet8", (28, 28, 1), 10, weights="fashion")
    totals = arithmetic.totals(arithmetic.table(model))
    assert (small.parameters, small.multiply_adds) == (totals.trainable + totals.other, totals.multiply_adds)
    assert small.weights_path.stat().st_size < 3e6
