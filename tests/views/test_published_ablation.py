"""The published ablation beside a measured one: its numbers, and that every difference of the experiments is stated."""

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image

from keras_cnn import config as config_module
from keras_cnn import data, models, publications
from keras_cnn.cli import visualize
from keras_cnn.cli.program import run as run_program
from keras_cnn.errors import InputError
from keras_cnn.loading import BUILDERS, load_dataset
from keras_cnn.run_folder import write_json, write_text

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# CS7015, Table 1, as printed in percent: before, after
PRINTED = {
    "plane": (86, 82),
    "car": (96, 96),
    "bird": (75, 81),
    "cat": (70, 82),
    "deer": (96, 92),
    "dog": (84, 81),
    "frog": (86, 88),
    "horse": (88, 88),
    "ship": (100, 81),
    "truck": (92, 87),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A net3 on 4 images a class, of a run that names CS7015's net4."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    generator = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in CIFAR10:
            (images := folder.parent / "cifar10" / part / name).mkdir(parents=True)
            for number in range(4):
                pixels = generator.integers(0, 256, (20, 20, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(images / f"{number}.png")
    folder.mkdir()
    words = ["--data.source", f"folder:{folder.parent / 'cifar10'}", "--name", "tiny", "--published", "cs7015/net4"]
    words += ["--model.name", "net3", "--model.l1_oc", "4", "--train.epochs", "3", "--optim.optimizer", "sgd"]
    config = config_module.load(None, [*words, "--data.cache_dir", str(folder.parent / "cache")], BUILDERS)
    write_text(folder / "config.yaml", config_module.dump(config))
    write_json(folder / "split.json", data.split_record(load_dataset(config)))
    models.build("net3", (20, 20, 3), 10, l1_oc=4).save(folder / "model.keras")
    return folder


def test_the_facts_are_those_in_print():
    table = publications.ablation_of("cs7015/net4")
    assert list(table.classes) == list(CIFAR10)
    for (name, pair), printed in zip(table.classes.items(), PRINTED.values(), strict=True):
        assert tuple(round(100 * value) for value in pair) == printed, name
    assert table.overall == (0.8986, 0.8694)
    assert (table.convolutions, table.filters, table.split) == (5, 2, "test")
    assert publications.ablation_of("cs7015/net3") is None
    with pytest.raises(InputError, match="cs7015/net5"):
        publications.ablation_of("cs7015/net5")


def test_the_table_stands_beside_the_measured_one(folder, tmp_path, capsys):
    words = [str(folder), "ablation", "--split", "test", "--controls", "0", "--out", str(tmp_path)]
    assert run_program(visualize.main, words) == 0
    lines = (tmp_path / "ablation" / "ablation-published.csv").read_text().splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    record = json.loads((tmp_path / "ablation" / "ablation.json").read_text())
    assert [row["class"] for row in rows] == [*CIFAR10, "all images"]
    for row, printed in zip(rows, PRINTED.values(), strict=False):
        assert (float(row["published_before"]), float(row["published_after"])) == tuple(p / 100 for p in printed)
        measured = record["per_class"][row["class"]]
        assert float(row["before"]) == measured["before"]
        assert float(row["difference"]) == measured["difference"]
        assert int(row["images"]) == 4
    assert rows[-1]["published_difference"] == "-0.0292"
    assert float(rows[-1]["after"]) == record["after"]
    stated = [line for line in lines if line.startswith("# differs: ")]
    for words in ("model.name is net3, not net4", "train.epochs is 3, not 100", "40 test images here, 10,000 there"):
        assert f"# differs: {words}" in stated
    assert not any("split" in line or "filters" in line for line in stated)  # net3 has four convolutions: the first two
    printed = capsys.readouterr().out
    assert "CS7015, Table 1 beside this run" in printed
    assert re.search(r"^  ship +100 +81 +-19  ", printed, re.M)
    with np.load(tmp_path / "ablation" / "ablation-published.npz") as arrays:
        assert arrays["published"].shape == arrays["measured"].shape == arrays["interval"].shape == (11, 2)


def test_other_images_filters_and_ways_are_stated(folder, tmp_path):
    words = [str(folder), "ablation", "--filters", "conv1:1", "--silent", "--controls", "0", "--out", str(tmp_path)]
    assert run_program(visualize.main, words) == 0
    stated = json.loads((tmp_path / "ablation" / "ablation.json").read_text())["published"]["differences"]
    assert stated[0] == "the validation split here, the test split there"
    assert stated[1] == "other filters than the first 2 of each of the first 5 convolutions"
    assert stated[2] == "the batch norm behind each filter is silent too, and was not there"


def test_the_first_images_are_stated_as_a_part_of_the_split(folder, tmp_path):
    words = [str(folder), "ablation", "--split", "test", "--first", "16", "--controls", "0", "--out", str(tmp_path)]
    assert run_program(visualize.main, words) == 0
    record = json.loads((tmp_path / "ablation" / "ablation.json").read_text())
    assert record["of"] == "the first 16 images of the test split"
    assert "16 of the 40 test images here" in record["published"]["differences"]


def test_a_run_of_other_images_has_nothing_to_stand_beside(run, tmp_path):
    config = (run / "config.yaml").read_text()
    try:
        write_text(run / "config.yaml", config.replace("published: null", "published: cs7015/net4"))
        assert run_program(visualize.main, [str(run), "ablation", "--controls", "0", "--out", str(tmp_path)]) == 0
    finally:
        write_text(run / "config.yaml", config)
    assert not list((tmp_path / "ablation").glob("*published*"))
    assert "published" not in json.loads((tmp_path / "ablation" / "ablation.json").read_text())
