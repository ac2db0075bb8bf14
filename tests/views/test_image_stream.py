"""What the views share: images decoded once, one pass for all, maps of the images on display; and readings of test."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_cnn import views
from keras_cnn.cli import visualize
from keras_cnn.cli.program import run as run_program
from keras_cnn.data import pipeline
from keras_cnn.data.dataset import Split
from keras_cnn.errors import InputError
from keras_cnn.evaluation.facts import facts_of
from keras_cnn.run_folder.record import read_record
from keras_cnn.views.support import image_stream, session
from keras_cnn.views.support.image_stream import DecodedSplit, PlannedReads, measured, read_ahead, stream
from keras_cnn.views.support.opened_model import VisualizeOptions
from keras_cnn.views.support.opening import open_source
from keras_cnn.visualization.filters import Responding
from keras_cnn.visualization.statistics import Features


@pytest.fixture
def files(run) -> Split:
    dataset = open_source(str(run), VisualizeOptions()).dataset
    return dataset.train


def test_an_image_is_decoded_once_whoever_wants_it(files, monkeypatch):
    decoded = []
    batches = pipeline.batches

    def counted(split, *given, **options):
        decoded.extend(() if split.files is None else split.ids)
        return batches(split, *given, **options)

    monkeypatch.setattr(pipeline, "batches", counted)
    images, count = DecodedSplit(files, (16, 16, 3), "crop"), len(files)
    few = images.take(np.array([1, 4]))
    np.testing.assert_array_equal(few.pixels[1], np.asarray(Image.open(files.files[4].path)))
    whole = images.take(np.arange(count))
    assert sorted(decoded) == sorted(files.ids)
    np.testing.assert_array_equal(whole.pixels[[1, 4]], few.pixels)
    for place, file in enumerate(files.files):
        np.testing.assert_array_equal(whole.pixels[place], np.asarray(Image.open(file.path)))


def test_without_memory_the_images_are_read_from_their_files(files, monkeypatch):
    monkeypatch.setattr(image_stream.cache, "bytes_fit", lambda *_: False)
    found = DecodedSplit(files, (16, 16, 3), "crop").take(np.array([2, 0]))
    assert found.pixels is None
    assert found.ids == (files.ids[2], files.ids[0])


def test_all_reads_a_split_once_and_maps_once(run, tmp_path, monkeypatch):
    passes, taps = [], []
    once = image_stream.one_pass
    monkeypatch.setattr(image_stream, "one_pass", lambda *given: passes.append(len(given[2])) or once(*given))
    opened = open_source(str(run), VisualizeOptions(out=tmp_path))
    maps = type(opened).maps
    monkeypatch.setattr(type(opened), "maps", lambda self, points: taps.append(list(points)) or maps(self, points))
    names = ("activations", "kernel-map-pairs", "filters", "statistics", "embedding")
    monkeypatch.setattr(views, "VIEWS", {name: views.VIEWS[name] for name in names})
    results = dict(session.every_view(opened))
    assert list(results) == list(names)
    # t-SNE wants more images than this run has
    assert [name for name, result in results.items() if isinstance(result, InputError)] == ["embedding"]
    assert passes == [4]  # responses; shares; pooled features, which statistics and embedding share; scores
    ahead, *later = taps
    assert set().union(*later) <= {opened.probe.point(point) for point in [*ahead, opened.head.point]}


def test_what_is_known_is_not_measured_again(run, monkeypatch):
    opened = open_source(str(run), VisualizeOptions())
    images = stream(opened, "filters", "train")
    read_ahead(opened, [PlannedReads(measured=[(images, Responding(opened.probe)), (images, Features("mean"))])])
    monkeypatch.setattr(image_stream, "one_pass", None)
    again = stream(opened, "embedding", "train")
    responses, values = measured(opened, [(again, Responding(opened.probe)), (again, Features("mean"))])
    assert values.shape == (len(images), 8)
    assert responses[0].images == len(images)


def test_a_reading_of_the_test_split_is_counted_and_record(run, tmp_path, capsys):
    def readings() -> list[dict]:
        path = run / "test_readings.csv"
        return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []

    before = len(readings())
    out = ["--out", str(tmp_path)]
    assert run_program(visualize.main, [str(run), "filters", "--split", "validation", *out]) == 0
    assert run_program(visualize.main, [str(run), "filters", "--split", "test", "--layer", "conv9", *out]) == 2
    assert len(readings()) == before  # no image was looked at
    capsys.readouterr()
    assert run_program(visualize.main, [str(run), "filters", "--split", "test", *out]) == 0
    (row,) = readings()[before:]
    assert row["images"] == "test split (filters)"
    printed = capsys.readouterr().out
    assert printed.count(f"the test split has been read with this run, this time included: {before + 1}") == 1
    record = read_record(run)
    assert record.test_readings[-1]["images"] == "test split (filters)"
    facts = facts_of(record)
    assert facts.test_readings == before + 1
    assert facts.sources["test_readings"].endswith(f"{row['date']} (filters)")
    with np.load(tmp_path / "filters" / "filters-summary.npz") as arrays:
        count = len(open_source(str(run), VisualizeOptions()).dataset.test)
        assert arrays["conv1_top"].shape == (6, min(20, count))


def test_the_test_split_of_a_read_only_run_is_not_read(run, tmp_path, capsys, read_only):
    copy = shutil.copytree(run, tmp_path / "copy")
    with read_only(copy):
        assert run_program(visualize.main, [str(copy), "filters", "--split", "test", "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "test_readings.csv" in line
    assert "Read-only file system" in line or "Permission denied" in line
    assert not (tmp_path / "filters").exists()


def test_with_all_the_ablation_takes_some_of_many_images(run, tmp_path, monkeypatch):
    monkeypatch.setattr(views, "VIEWS", {"ablation": views.VIEWS["ablation"]})
    monkeypatch.setitem(views.VIEWS["ablation"].options_in_all, "most", 2)
    opened = open_source(str(run), VisualizeOptions(out=tmp_path))
    ((_, saved),) = session.every_view(opened)
    record = json.loads((tmp_path / "ablation" / "ablation.json").read_text())
    assert (record["of"], record["images"]) == ("2 images of the validation split", 2)
    assert len(opened.dataset.validation) > 2
    assert len(saved) == 6
