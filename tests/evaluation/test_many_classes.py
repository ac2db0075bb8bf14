"""More than 40 classes: predictions in two forms, matrices by their cells, figures without a name for each class."""

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from keras_cnn.charts import evaluation as charts
from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.errors import InputError
from keras_cnn.evaluation import confusions, evaluations, gallery, metrics, predictions, tables
from keras_cnn.evaluation.comparison import compare
from keras_cnn.evaluation.evaluations import Evaluation
from keras_cnn.evaluation.predictions import find_predictions, read_predictions, write_predictions
from keras_cnn.evaluation.test_time_augmentation import ONE

CLASSES = tuple(f"=kind, {i // 10} no. {i % 10}" for i in range(60))
IMAGES = 500


def logits_of(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits of 60 classes in groups of 10 that are alike; no image of the last class."""
    rng = np.random.default_rng(seed)
    labels = np.random.default_rng(0).integers(0, 59, IMAGES).astype(np.int32)
    alike = (np.arange(60)[:, None] // 10 == np.arange(60) // 10) * 1.5 + np.eye(60) * 1.5
    return labels, (rng.normal(size=(IMAGES, 60)) + alike[labels]).astype(np.float32)


def evaluation_of(seed: int) -> Evaluation:
    labels, logits = logits_of(seed)
    pixels = np.random.default_rng(1).integers(0, 256, (IMAGES, 8, 8, 1)).astype(np.uint8)
    test = Split(tuple(f"test/{i}" for i in range(IMAGES)), labels, pixels=pixels)
    dataset = Dataset("made", CLASSES, (8, 8, 1), train=test.take([]), validation=test.take([]), test=test)
    return Evaluation(dataset, "test", "crop", ONE, "float32", logits, None, scaled=False)


def written(folder: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    labels, logits = logits_of(3)
    p = metrics.softmax(logits)
    ids = [f"bad\udcff {i}.jpg" if i == 7 else f"={i}.jpg" for i in range(IMAGES)]
    return write_predictions(folder / "predictions.csv", ids, ids, labels, p, classes=CLASSES), labels, p


def test_a_row_has_the_five_most_probable_classes_and_the_array_has_all_to_the_bit(tmp_path):
    path, labels, p = written(tmp_path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    listed = [name for place in range(1, 6) for name in (f"class_{place}", f"p_{place}")]
    assert list(rows[0]) == ["id", "path", "true", "predicted", "correct", *listed]
    order = np.argsort(-p, axis=1, kind="stable")[:, :5]
    for row, best, own, label in zip(rows, order, p, labels, strict=True):
        assert [row[f"class_{k}"] for k in range(1, 6)] == [f"'{CLASSES[c]}" for c in best]
        assert [np.float32(row[f"p_{k}"]) for k in range(1, 6)] == own[best].astype(np.float32).tolist()
        assert row["correct"] == str(int(best[0] == label))
    read = read_predictions(path)
    assert read.classes == CLASSES
    assert read.labels.tolist() == labels.tolist()
    assert (read.ids[7], read.ids[8]) == ("bad\\udcff 7.jpg", "=8.jpg")
    assert np.asarray(read.probabilities).tobytes() == p.astype(np.float32).tobytes()
    assert np.load(tmp_path / "predictions.npy").dtype == np.float32


@pytest.mark.parametrize("classes", [3, 60])
def test_many_rows_are_parquet_and_are_read_to_the_bit(tmp_path, monkeypatch, classes):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(predictions, "MOST_ROWS", 100)
    (tmp_path / "predictions.csv").write_text("of an earlier run")
    labels, logits = logits_of(4)
    labels, p = labels % classes, metrics.softmax(logits[:, :classes])
    ids = tuple(map(str, range(IMAGES)))
    path = write_predictions(tmp_path / "predictions.csv", ids, [""] * IMAGES, labels, p, classes=CLASSES[:classes])
    assert path == find_predictions(tmp_path) == tmp_path / "predictions.parquet"
    assert not (tmp_path / "predictions.csv").exists()
    read = read_predictions(path)
    assert (read.ids, read.classes, read.labels.tolist()) == (ids, CLASSES[:classes], labels.tolist())
    assert np.asarray(read.probabilities, np.float32).tobytes() == p.astype(np.float32).tobytes()
    assert read.predicted.tolist() == p.argmax(axis=1).tolist()


def test_many_rows_without_pyarrow_are_csv_and_a_line_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(predictions, "MOST_ROWS", 100)
    monkeypatch.setattr(predictions, "missing_modules", list)
    with caplog.at_level("INFO", "keras_cnn"):
        assert written(tmp_path)[0] == tmp_path / "predictions.csv"
    (line,) = caplog.messages
    assert line.startswith("note        500 predictions as CSV; smaller as .parquet: pip install")


def test_an_array_of_other_predictions_is_refused(tmp_path):
    path, _, p = written(tmp_path)
    array = tmp_path / "predictions.npy"
    for changed, message in (
        (p[::-1], r"row 1: p_1 is 0\.\d+, predictions.npy has 0\.\d+; expected the array that was written with"),
        (p[:-1], "500 rows, predictions.npy has 499; expected one per image"),
        (p[:, :-1], r"float32 of \(500, 59\); expected float32 of \(rows, 60\), the classes of predictions.json"),
        (p + 2, "row 1 has a value outside 0 to 1"),
    ):
        np.save(array, changed.astype(np.float32))
        with pytest.raises(InputError, match=message):
            read_predictions(path)
    array.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"cannot read predictions\.npy beside it"):
        read_predictions(path)
    array.unlink()
    with pytest.raises(InputError, match=r"cannot read predictions\.npy beside it: .*No such file"):
        read_predictions(path)


@pytest.fixture(scope="module")
def found() -> Evaluation:
    return evaluation_of(5)


def test_numbers_are_scikit_learns_and_the_matrix_is_stored_by_its_cells(found):
    labels, p, n = found.images.labels, found.probabilities, found.metrics
    predicted, names = p.argmax(axis=1), range(60)
    assert n["accuracy"] == sk.accuracy_score(labels, predicted)
    scores = sk.precision_recall_fscore_support(labels, predicted, labels=names, average="macro", zero_division=0)
    assert [n["macro"][key] for key in ("precision", "recall", "f1")] == pytest.approx(scores[:3], rel=1e-12)
    assert n["top_k"]["5"]["accuracy"] == sk.top_k_accuracy_score(labels, p, k=5, labels=names)
    assert n["loss"] == pytest.approx(sk.log_loss(labels, p, labels=names), rel=1e-6)
    matrix = sk.confusion_matrix(labels, predicted, labels=names)
    assert set(n["confusion"]) == {"classes", "true", "predicted", "images"}
    assert 0 not in n["confusion"]["images"]
    assert confusions.from_json(n["confusion"]).tolist() == matrix.tolist()
    assert found.confusion.to_numpy().tolist() == matrix.tolist()
    assert confusions.as_json(matrix[:40, :40]) == matrix[:40, :40].tolist()


@pytest.mark.parametrize(
    "value",
    [
        {"classes": 2, "true": [0], "predicted": [2], "images": [1]},
        {"classes": 2, "true": [0], "predicted": [], "images": [1]},
        {"classes": 10**9, "true": [], "predicted": [], "images": []},
        {"classes": 2, "true": [0.5], "predicted": [1], "images": [1]},
        [[1, 2]],
        [["1"]],
        [],
    ],
)
def test_what_is_no_confusion_matrix_is_refused(value):
    with pytest.raises(ValueError, match=r"lengths|out of range|whole numbers|as many rows"):
        confusions.from_json(value)


def test_the_most_frequent_mistakes_take_the_place_of_the_matrix(found):
    matrix = confusions.from_json(found.metrics["confusion"])
    drawing = charts.confusion_drawing(matrix, CLASSES)
    cells = [(-matrix[i, j], i, j) for i in range(60) for j in range(60) if i != j and matrix[i, j]]
    expected = [f"{CLASSES[i]} → {CLASSES[j]}: {-n}" for n, i, j in sorted(cells)[:30]]
    assert list(drawing.names) == expected
    shares = [-100 * n / matrix[i].sum() for n, i, _ in sorted(cells)[:30]]
    assert drawing.columns[0].values == pytest.approx(shares)
    wrong, shown = int(matrix.sum() - np.trace(matrix)), -sum(n for n, *_ in sorted(cells)[:30])
    note = f"The 30 most frequent of {len(cells)} kinds of mistake, with their images: {shown} of {wrong} wrong images."
    assert charts.mistakes_note(matrix).startswith(note)


def test_no_figure_names_every_class_and_no_table_is_longer_than_a_screen(found, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(gallery.style, "save", lambda figure, path: drawn.setdefault(path.stem, figure))
    gallery.draw(found, tmp_path, "many")
    assert [len(drawn[name].axes) for name in ("roc", "precision_recall")] == [10, 10]
    assert drawn["roc"].get_suptitle() == "many: ROC, each class against the others: the 10 lowest of 60"
    areas = {name: row["roc_area"] for name, row in found.metrics["ranking"]["per_class"].items() if row["roc_area"]}
    assert {ax.get_title("left") for ax in drawn["roc"].axes} == set(sorted(areas, key=areas.get)[:10])
    words = [text.get_text() for text in drawn["roc"].legends[0].get_texts()]
    assert words[1].endswith(" of the other classes")
    assert len(drawn["confusion"].axes[0].get_yticklabels()) == 30
    assert len(list(tables.brief(found.metrics))) < 8
    assert len(list(tables.evaluation(found.metrics))) <= 60
    assert found._repr_html_().count("<tr") < 45


def test_a_comparison_reads_what_was_written(found, tmp_path):
    evaluations.write(found, tmp_path, {})
    assert not (tmp_path / "softmax.npy").exists()
    other = evaluation_of(6)
    read = compare(other.predictions, read_predictions(find_predictions(tmp_path)))
    assert read.as_json() == found.against(other).as_json()
    changed = read.confusion_difference
    drawing = charts.change_drawing(changed, CLASSES)
    assert len(drawing.names) == 30
    assert max(map(abs, drawing.columns[0].values)) == np.abs(changed - np.diag(np.diag(changed))).max()
