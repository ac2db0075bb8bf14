"""The page as text: what is in it, what may not be, and how large it is."""

import base64
import gzip
import html
import itertools
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import plotly
import pytest
from PIL import Image

from keras_cnn import charts
from keras_cnn.cli import program, report
from keras_cnn.errors import InputError
from keras_cnn.figures import style
from keras_cnn.report import html as html_module
from keras_cnn.report import pictures, run_charts
from keras_cnn.report.html import LIMIT, write_report
from keras_cnn.report.runs import find_runs
from keras_cnn.report.scores import read_scores
from keras_cnn.report.sections.classes import calibration, classes, confusions, ranking
from keras_cnn.report.sections.configuration import differences, layer_tables
from keras_cnn.report.sections.curves import costs, curves
from keras_cnn.report.sections.environment import environment
from keras_cnn.report.sections.evaluations import evaluations
from keras_cnn.report.sections.models import networks
from keras_cnn.report.sections.runs import lead, table_of_runs
from keras_cnn.run_folder.drawn_views import record_view

VOID = {"meta", "link", "img", "br", "input", "path", "circle"}


class Page(HTMLParser):
    """Elements with their attributes, the text of each, and whether every tag is closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str, **wanted: str) -> list[dict]:
        return [a for t, a in self.elements if t == tag and wanted.items() <= a.items()]

    def text(self) -> str:
        return " ".join(text for tag, text in self.texts if tag not in ("script", "style"))


def written(*paths: Path, out: Path | None = None) -> str:
    return write_report(list(paths), out).read_text(encoding="utf-8")


# --- nothing from outside, nothing dangerous --------------------------------------------------------------------------


def test_nothing_is_loaded_from_outside(nasty_page):
    page = Page(nasty_page.text)
    for tag, attributes in page.elements:
        for name in ("src", "href", "action", "poster", "data", "srcset"):
            if name in attributes:
                assert attributes[name].startswith(("data:", "#")), (tag, attributes)
    own = re.sub(r'<script type="application/octet-stream".*?</script>', "", nasty_page.text, flags=re.DOTALL)
    assert not re.findall(r"https?://|@import|url\(", own)
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    directives = dict(part.split(" ", 1) for part in policy["content"].split("; "))
    assert directives["default-src"] == "'none'"
    assert not any("http" in sources or "*" in sources for sources in directives.values())


def test_plotly_inside_is_the_package_s_own(nasty_page):
    packed = re.search(r'id="plotly">(.*?)</script>', nasty_page.text, re.DOTALL)[1]
    original = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    assert gzip.decompress(base64.b64decode(packed)) == original.read_bytes()
    assert len(packed) < LIMIT * 0.4


def test_names_that_attack_are_text(nasty_page, blobs):
    page = Page(nasty_page.text)
    assert not page.all("img", src="x")
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
    assert "</script><img" not in nasty_page.text
    assert '</script><img src=x onerror="window.hacked=1">' in page.text()  # the reader sees the name as it is
    assert "شبكة" in page.text()
    for figure in blobs(nasty_page.text).values():
        assert "<img" not in json.dumps(figure, ensure_ascii=False)  # plotly reads HTML in labels


def test_json_cannot_end_its_element():
    value = {"</script><!--": "<![CDATA[ & \u2028 \udc80"}  # the last: a byte of a file name that is no UTF-8
    text = html_module.script_json(value)
    assert not set("<>&\u2028\udc80") & set(text)
    assert json.loads(text) == value


def test_every_chart_has_its_numbers_and_its_label(nasty_page, blobs):
    page = Page(nasty_page.text)
    plots = page.all("div", role="img")
    assert [plot["data-chart"] for plot in plots] == list(blobs(nasty_page.text))
    assert all(plot["aria-label"] for plot in plots)
    assert len(page.all("details", **{"class": "numbers"})) == len(plots)


def test_anchors_and_labels_lead_somewhere(nasty_page):
    page = Page(nasty_page.text)
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(set(ids)) == len(ids)
    assert {a["href"][1:] for a in page.all("a")} <= set(ids)
    assert {a["aria-labelledby"] for a in page.all("section")} <= set(ids)
    assert all(a.get("alt") is not None for a in page.all("img"))


# --- the numbers ------------------------------------------------------------------------------------------------------


def test_table_of_runs_sorts_by_the_numbers(nasty_page):
    rows = re.search(r"<table class=\"runs\".*?</table>", nasty_page.text, re.DOTALL)[0]
    kinds = re.findall(r'data-sort="(\w+)"', rows)
    values = [re.findall(r'data-value="(.*?)"', row) for row in rows.split("<tr>")[2:]]
    assert len(values) == 3
    accuracies = [json.loads((run / "metrics.json").read_text())["accuracy"] for run in nasty_page.runs[:2]]
    assert [kinds[0], kinds[1]] == ["text", "number"]
    assert [float(row[1]) for row in values[:2]] == accuracies
    assert values[2][1] == ""  # not finished
    assert [row[7] for row in values] == ["10.0", "10.0", "10.0"]  # seconds: four epochs of 2.5
    assert [html.unescape(row[0]) for row in values] == ["b<b>old", "a", "c"]


def test_lead_names_the_run_that_validation_chooses(make_run, tmp_path):
    runs = [make_run(tmp_path / name, seed=seed) for name, seed in (("one", 1), ("two", 2))]
    for run, accuracy, test in zip(runs, (0.9, 0.8), (0.5, 0.7), strict=True):
        whole = json.loads((run / "metrics.json").read_text())
        whole["accuracy"], whole["validation"]["accuracy"] = test, accuracy
        (run / "metrics.json").write_text(json.dumps(whole))
    found, _ = find_runs(runs)
    columns, (first, _) = table_of_runs(found)
    one = json.loads((runs[0] / "metrics.json").read_text())
    assert dict(zip((name for name, _ in columns), ((cell.text, cell.value) for cell in first), strict=True)) == {
        "run": ("one", "one"),
        "test accuracy": ("50.00 %", 0.5),
        "validation accuracy": ("90.00 %", 0.9),
        "test loss": (f"{one['loss']:.4f}", one["loss"]),
        "best epoch": ("2 of 4", 2),
        "parameters": ("504", 504),
        "multiply-adds": ("437 k", 437_400),
        "time": ("10.0 s", 10.0),
        "seed": ("1", 1),
        "state": ("finished", "finished"),
    }
    assert "one has the highest validation accuracy, 90.00 %" in lead(found)
    assert "it classifies 50.00 %" in lead(found)
    low, high = json.loads((runs[0] / "metrics.json").read_text())["accuracy_interval"]
    right = f"50.00 % [{100 * low:.2f}, {100 * high:.2f}] of 120 test images classified correctly"
    assert lead(found[:1]) == f"{right}, in epoch 2 of 4, chosen by val_accuracy."
    tested = [replace(run, scores={"test": run.test}) for run in found]
    assert lead(tested) == "2 runs, none with a validation accuracy."


def test_only_fields_that_differ_are_listed(make_run, tmp_path):
    a = make_run(tmp_path / "a", optim={"learning_rate": 0.1, "momentum": 0.9})
    b = make_run(tmp_path / "b", optim={"learning_rate": 0.01, "momentum": 0.9, "gamma": 0.5})
    runs, _ = find_runs([a, b])
    assert differences(runs).rows == (("optim.learning_rate", "0.1", "0.01"), ("optim.gamma", "-", "0.5"))
    a_dozen, more = (differences([*[runs[0]] * n, runs[1]]) for n in (11, 12))
    assert a_dozen.head == ("field", *["a"] * 11, "b")
    assert more.head == ("run", "optim.learning_rate", "optim.gamma")  # a row for each of many runs
    assert more.rows == (*[("a", "0.1", "-")] * 12, ("b", "0.01", "0.5"))
    alone, _ = find_runs([a])
    assert differences(alone).rows == (("train.epochs", "10", "4"),)
    with (a / "changes.txt").open("a") as file:
        file.write("seed: 2\nname: mine -> yours\n")  # the first line is no change
    both, _ = find_runs([a, b])
    assert differences(both[:1]).rows == (("train.epochs", "10", "4"), ("name", "mine", "yours"))
    with (a / "changes.txt").open("a") as file:
        file.write("optim.gamma: 0.1 -> 0.5\n")
    assert differences(find_runs([a, b])[0], swept=object()).rows == (("train.epochs", "10", "4"),)  # what all share


def test_evaluations_list_every_split_and_later_ones(make_run, tmp_path):
    run = make_run(tmp_path / "run")
    whole = json.loads((run / "metrics.json").read_text())
    (run / "evaluations" / "others").mkdir(parents=True)
    (run / "evaluations" / "others" / "metrics.json").write_text(json.dumps(whole["train"]))
    runs, _ = find_runs([run])
    table = evaluations(runs)
    assert [row[1] for row in table.rows] == ["test", "validation", "train", "others"]
    rows = [dict(zip(table.head, row, strict=True)) for row in table.rows]
    for row, numbers in zip(rows, (whole, whole["validation"], whole["train"], whole["train"]), strict=True):
        assert row["top 2"] == f"{100 * numbers['top_k']['2']['accuracy']:.2f} %"
        for column, name in (("loss", "loss"), ("Brier score", "brier")):
            low, high = numbers[f"{name}_interval"]
            assert row[column] == f"{numbers[name]:.4f} [{low:.4f}, {high:.4f}]"
        ece, macro = numbers["ece"], numbers["macro"]
        for column, value, ends in (
            ("calibration error", ece["value"], ece["interval"]),
            ("macro F1", macro["f1"], macro["f1_interval"]),
        ):
            low, high = (100 * end for end in ends)
            assert row[column] == f"{100 * value:.2f} % [{low:.2f}, {high:.2f}]"


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([(1, 0.5), (2, 0.6), (3, 0.55)], [0, 1]),
        ([(1, 0.5), (1, 0.5)], [0, 1]),  # equals do not beat each other
        ([(1, 0.5), (1, 0.6), (2, 0.6)], [1]),
        ([], []),
    ],
)
def test_pareto_front(points, front):
    assert run_charts.pareto(points) == front


def test_cost_has_each_run_with_its_interval_over_minutes_and_over_parameters(make_run, tmp_path):
    """Epochs of 2.5 seconds; 504 parameters times the seed. The third run takes longest, and the second is better."""
    runs = []
    for seed, epochs, accuracy in ((3, 24, 0.5), (1, 48, 0.75), (2, 96, 0.625)):
        run = make_run(tmp_path / f"r{seed}", seed=seed, epochs=epochs, pictures=0)
        validation = {"accuracy": 0.5, "accuracy_interval": [0.375, 0.625]}
        ends = [accuracy - 0.25, accuracy + 0.125]
        runs.append(damage(run, accuracy=accuracy, accuracy_interval=ends, validation=validation))
    found, _ = find_runs(runs)
    columns, rows = table_of_runs(found)
    place = columns.index(("test accuracy", "number"))
    bars = [row[place].bar for row in rows]  # low, value and high in % of the range of all intervals, 0.25 to 0.875
    assert bars == [(0, 40, 60), (40, 80, 100), (20, 60, 80)]
    for quantity, places, front, staircase in (
        ("seconds", [1, 2, 4], [0, 1], ([1, 2], [50, 75])),
        ("trainable", [1512, 504, 1008], [1], None),
    ):
        plot = run_charts.cost(found, quantity)
        lines, points = plot.series[:-3], plot.series[-3:]
        assert [(list(line.x), list(line.y)) for line in lines] == ([staircase] if staircase else [])
        assert [point.x for point in points] == [[x] for x in places]
        assert [(point.low, point.y, point.high) for point in points] == [
            ([25], [50], [62.5]),
            ([50], [75], [87.5]),
            ([37.5], [62.5], [75]),
        ]
        assert [i for i, point in enumerate(points) if not point.hollow] == front
        assert [", on the Pareto front" in point.hover[0] for point in points] == [i in front for i in range(3)]
        assert points[0].hover[0].startswith("r3 [25.00, 62.50]")
        assert (plot.x.scale, plot.x.limits) == ("linear", (0, 1.08 * max(places)))
    over_time, over_parameters = (chart.table for chart in costs(found))
    assert over_time.head == ("run", "time", "test accuracy", "95 % interval", "on the Pareto front")
    assert over_time.rows == (
        ("r3", "1 min 00 s", "50.00 %", "[25.00, 62.50]", "yes"),
        ("r1", "2 min 00 s", "75.00 %", "[50.00, 87.50]", "yes"),
        ("r2", "4 min 00 s", "62.50 %", "[37.50, 75.00]", "no"),
    )
    assert [row[1:2] + row[4:] for row in over_parameters.rows] == [("1,512", "no"), ("504", "yes"), ("1,008", "no")]
    assert costs(found[:1]) == []
    for minutes, scale, limits in ((20, "linear", (0, 1.08 * 20)), (20.1, "logarithmic", None)):
        last = replace(found[1].record, history=({"epoch": 1, "run_seconds": 60 * minutes},))
        x = run_charts.cost([found[0], replace(found[1], record=last)], "seconds").x
        assert (x.scale, x.limits) == (scale, limits)


def test_recalls_of_two_runs_stand_side_by_side_in_the_row_of_their_class(make_run, tmp_path):
    runs = [make_run(tmp_path / name, seed=seed, pictures=0) for name, seed in (("a", 1), ("b", 2))]
    plot = run_charts.recalls(find_runs(runs)[0], ("cat", "dog", "eel"))
    assert plot.rows == ("cat", "dog", "eel")
    for run, series, shift in zip(runs, plot.series, (-0.175, 0.175), strict=True):  # of 0.7 rows
        classes = json.loads((run / "metrics.json").read_text())["per_class"]
        assert (series.across, series.y) == (True, pytest.approx([shift, 1 + shift, 2 + shift]))
        assert series.x == pytest.approx([100 * classes[name]["recall"] for name in plot.rows])
        ends = np.array([classes[name]["recall_interval"] for name in plot.rows])
        np.testing.assert_allclose(np.transpose([series.low, series.high]), 100 * ends)
        counts = [f"{classes[name]['support']} images" for name in plot.rows]
        assert [text.rpartition(", ")[2] for text in series.hover] == counts


def test_the_environment_has_what_each_run_recorded(make_run, tmp_path):
    runs = [make_run(tmp_path / "new", pictures=0), make_run(tmp_path / "old", pictures=0, data={})]
    split = json.loads((runs[1] / "split.json").read_text()) | {"source": "folder:photos", "sha256": "89abcdef" * 8}
    (runs[1] / "split.json").write_text(json.dumps(split))
    new, old = find_runs(runs)[0]
    facts = {fact.name: fact.texts for fact in environment([new, old])}
    assert facts == {
        "data": ("npz:small", "folder:photos"),
        "images": ("train 400, validation 60, test 120",) * 2,
        "split (SHA-256)": ("f00", "89abcdef89abcdef"),
        "cores": ("2", "2"),
        "GPUs": ("none", "none"),
        "Python": ("3.11.7", "3.11.7"),
        "keras": ("3.15.1", "3.15.1"),
        "git commit": ("0123abc", "0123abc"),
    }
    assert [fact.name for fact in environment([new, old]) if not fact.shared] == ["data", "split (SHA-256)"]
    machines = [new.record.environment | {"platform": f"p{number % 6}"} for number in range(13)]
    many = environment([replace(new, record=replace(new.record, environment=machine)) for machine in machines])
    spread = "p0 (3 runs); p1 (2 runs); p2 (2 runs); p3 (2 runs); and 2 more"
    assert {fact.name: fact.texts for fact in many}["platform"] == (spread,)
    (data, images, *_) = environment([old, *[new] * 11, old])
    assert data.texts == ("npz:small (11 runs); folder:photos (2 runs)",)
    assert images.texts == ("train 400, validation 60, test 120",)
    assert environment([*[new] * 12, old])[0].texts == ("npz:small (12 runs); folder:photos (1 run)",)


def test_confusion_heatmap_has_counts_and_shares_of_rows(make_run, tmp_path, blobs):
    run = make_run(tmp_path / "run")
    matrix = np.array(json.loads((run / "metrics.json").read_text())["confusion"])
    (heatmap,) = blobs(written(run))["confusion-0"]["data"]
    assert heatmap["text"] == [[f"{count:,}" for count in row] for row in matrix.tolist()]
    assert np.allclose(heatmap["z"], 100 * matrix / matrix.sum(axis=1, keepdims=True), atol=0.05)
    ((chart, _),) = confusions(find_runs([run])[0])
    assert chart.table.head == ("true \\ predicted", "cat", "dog", "eel")
    assert chart.table.rows == tuple((n, *map(str, row)) for n, row in zip(("cat", "dog", "eel"), matrix, strict=True))
    assert heatmap["texttemplate"]


def test_forty_classes_stay_readable_and_small(make_run, tmp_path, blobs):
    run = make_run(tmp_path / "run", classes=[f"a rather long class name {i}" for i in range(40)], images=3000)
    text = written(run)
    (heatmap,) = blobs(text)["confusion-0"]["data"]
    assert len(heatmap["x"]) == len(set(heatmap["x"])) == 40
    assert max(map(len, heatmap["x"])) <= len("a rather… 39 (39)") + 3
    assert not heatmap.get("texttemplate")
    assert "the 60 most frequent of" in text.replace("\n", " ").lower()
    matrix = np.array(json.loads((run / "metrics.json").read_text())["confusion"])
    ((chart, _),) = confusions(find_runs([run])[0])
    for true, predicted, images, share in chart.table.rows[:60]:
        i, j = (int(name.rpartition(" ")[2]) for name in (true, predicted))
        assert (images, share) == (str(matrix[i, j]), f"{100 * matrix[i, j] / matrix[i].sum():.1f} %")
    true, predicted, images, _ = chart.table.rows[0]
    of_class = matrix[int(true.rpartition(" ")[2])].sum()
    wrong = matrix - np.diag(np.diag(matrix))
    assert int(images) == wrong.max()
    assert chart.note == (
        f"{100 * matrix.trace() / 3000:.2f} % right. Most frequent mistake: {true} predicted as {predicted}, {images}"
        f" of {of_class} images. The table lists the 60 most frequent of {(wrong > 0).sum():,} kinds of mistake."
    )


def test_of_more_than_forty_classes_the_lowest_come_first(make_run, tmp_path):
    names = [f"kind {i}" for i in range(41)]
    areas = {name: {"roc_area": 0.9, "average_precision": 0.5 - i / 100} for i, name in enumerate(names)}
    areas["kind 3"] = {"roc_area": None, "average_precision": None}
    areas["kind 40"] |= {"roc_area_interval": [0.8, 0.95], "average_precision_interval": [0.05, 0.2]}
    run = make_run(tmp_path / "run", classes=names, images=400, pictures=0)
    (found,), _ = find_runs([damage(run, ranking={"per_class": areas})])
    scores = json.loads((run / "metrics.json").read_text())["per_class"]
    recalls = {name: scores[name]["recall"] for name in names if scores[name]["support"]}
    order = [*sorted(recalls, key=recalls.get), *(name for name in names if name not in recalls)]
    (chart,) = classes([found])
    table = [dict(zip(chart.table.head, row, strict=True)) for row in chart.table.rows]
    assert [row["class"] for row in table] == order
    wrong = found.result.confusion - np.diag(np.diag(found.result.confusion))
    for row in table:
        mistakes = wrong[names.index(row["class"])]
        most = f"{names[mistakes.argmax()]}: {mistakes.max()}" if mistakes.any() else "–"
        assert row["most often taken for"] == most
        score = scores[row["class"]]
        assert row["images"] == str(score["support"])
        for column, name in (("recall", "recall"), ("precision", "precision"), ("F1", "f1")):
            if score[name] is not None and score[f"{name}_interval"] is not None:
                low, high = score[f"{name}_interval"]
                assert row[column] == f"{100 * score[name]:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
    assert chart.title == "Recall of the 40 classes of lowest recall, of 41"
    assert chart.note == "Test images. The table has the lowest first, and what each class is most often taken for."
    areas_first = ranking([found])
    assert areas_first.rows[0] == ("kind 40", "run", "test", "0.9000 [0.8000, 0.9500]", "0.1000 [0.0500, 0.2000]")
    assert [row[0] for row in areas_first.rows] == [n for n in reversed(names) if n != "kind 3"] + ["kind 3"]
    assert areas_first.rows[-1] == ("kind 3", "run", "test", "–", "–")
    fewer = replace(found, scores={"test": replace(found.test, classes=found.test.classes[:39], confusion=None)})
    (both,) = classes([found, fewer])
    assert (both.title, len(both.table.rows)) == (chart.title, 41 + 39)
    of_fewer = [row for before, row in itertools.pairwise(both.table.rows) if before[0] == row[0]]
    assert [row[-1] for row in of_fewer] == ["–"] * 39
    (of_many_runs,) = classes([found] * 51)  # 2,000 rows in all, but forty of each run
    assert len(of_many_runs.table.rows) == len(ranking([found] * 51).rows) == 40 * 51
    assert of_many_runs.note.endswith("taken for. The table has the 40 lowest.")
    few = {"per_class": dict(list(areas.items())[:3])}
    table = ranking([found, find_runs([damage(run, ranking=few)])[0][0]][1:])
    assert ([row[0] for row in table.rows], table.searched) == (names[:3], False)  # in their own order


def test_images_of_tests_and_of_validation_are_told_apart(make_run, tmp_path):
    tested, trial = (make_run(tmp_path / name, pictures=0) for name in ("tested", "trial"))
    whole = json.loads((trial / "metrics.json").read_text())
    own = {name: whole[name] for name in ("validation", "best_epoch", "chosen_by")}
    (trial / "metrics.json").write_text(json.dumps(own))
    runs, _ = find_runs([tested, trial])
    assert [chart.note for chart in classes(runs)] == ["Test images; for trial validation images."]
    assert classes(runs[1:])[0].note == "Validation images."
    assert [chart.title for chart, _ in confusions(runs)] == ["tested", "trial: validation"]
    (chart,) = calibration(runs)
    ece, test = whole["validation"]["ece"], json.loads((tested / "metrics.json").read_text())["ece"]
    errors = [
        f"{name} {100 * e['value']:.2f} % [{100 * e['interval'][0]:.2f}, {100 * e['interval'][1]:.2f}] in"
        f" {len(e['counts'])} bins"
        for name, e in (("tested", test), ("trial", ece))
    ]
    assert chart.note == (
        f"Test images; for trial validation images. Expected calibration error: {errors[0]}; {errors[1]}."
    )
    bins = list(zip(ece["edges"], ece["edges"][1:], ece["counts"], ece["confidence"], ece["accuracy"], strict=False))
    assert chart.table.rows[-len(bins) :] == tuple(
        ("trial", f"{100 * low:.1f} to {100 * high:.1f} %", str(n), *(f"{100 * x:.1f} %" if n else "–" for x in means))
        for low, high, n, *means in bins
    )


def test_curves_have_the_history_and_the_chosen_epoch(make_run, tmp_path, blobs):
    run = make_run(tmp_path / "run")
    rows = [line.split(",") for line in (run / "history.csv").read_text().splitlines()[1:]]
    training, validation, chosen = blobs(written(run))["curves-accuracy"]["data"]
    assert training["y"] == pytest.approx([100 * float(row[2]) for row in rows], abs=1e-4)
    assert validation["y"] == pytest.approx([100 * float(row[4]) for row in rows], abs=1e-4)
    assert (chosen["x"], chosen["y"]) == ([2], [validation["y"][1]])
    found, _ = find_runs([run])
    loss, accuracy = (chart.table for chart in curves(found, found))
    assert loss.head == accuracy.head == ("epoch", "run, training", "run, validation")
    assert loss.rows == tuple((row[0], f"{float(row[1]):.4f}", f"{float(row[3]):.4f}") for row in rows)
    assert accuracy.rows == tuple((row[0], f"{100 * float(row[2]):.2f}", f"{100 * float(row[4]):.2f}") for row in rows)
    plots = [run_charts.curves(found * n, "loss") for n in (1, 4, 5)] + [run_charts.curves(found, "loss", found)]
    looks = [(plot.unified, plot.legend) for plot in plots]
    assert looks == [(True, True), (True, False), (False, False), (False, False)]


# --- what is wrong with a run -----------------------------------------------------------------------------------------


def damage(run: Path, **changes) -> Path:
    """The run with fields of metrics.json replaced."""
    whole = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps(whole | changes))
    return run


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


DAMAGED = {  # name: (what happens to the run, words of the line that names it)
    "unfinished": (lambda run: (run / "metrics.json").unlink(), ["metrics.json: missing", "not finished"]),
    "half-written metrics": (lambda run: (run / "metrics.json").write_text('{"accur'), ["metrics.json: cannot be"]),
    "half-written model": (lambda run: (run / "model.json").write_text("["), ["model.json: cannot be read"]),
    "older": (lambda run: (run / "model.json").unlink(), ["model.json: missing", "older version"]),
    "NaN accuracy": (lambda run: damage(run, accuracy=float("nan")), ["accuracy is nan", "from 0 to 1"]),
    "accuracy in words": (lambda run: damage(run, accuracy="high"), ["accuracy is 'high'", "from 0 to 1"]),
    "ragged confusion": (lambda run: damage(run, confusion=[[1, 2], [3]]), ["confusion is [[1, 2], [3]]"]),
    "missing class": (lambda run: damage(run, confusion=[[1, 2], [3, 4]]), ["2 classes and per_class 3"]),
    "classes in a list": (lambda run: damage(run, per_class=["cat"]), ["per_class is ['cat']"]),
    "scores of nothing": (lambda run: damage(run, validation=None), ["validation is NoneType"]),
    "calibration in halves": (lambda run: damage(run, ece={"value": 0.1}), ["ece is {'value': 0.1}"]),
    "picture": (lambda run: (run / "figures" / "picture_0.png").write_bytes(b"x"), ["picture_0.png: cannot be read"]),
    "cut-off history": (lambda run: append(run / "history.csv", "9,0.1\n"), ["history.csv", "is it cut off?"]),
    "odd layers": (lambda run: (run / "model.json").write_text('{"layers": [{}], "totals": 3}'), []),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_run_is_shown_with_what_it_has(make_run, tmp_path, name):
    run = make_run(tmp_path / "run")
    spoil, words = DAMAGED[name]
    spoil(run)
    page = Page(written(run)).text()
    lines = [line for line in page.split("\n") if all(word in line for word in words)]
    assert lines
    assert "Loss by epoch" in page  # the history is whole in each case


@pytest.mark.parametrize("value", [None, "x", [[1, "a"]], {"a": {"b": None}}])
def test_odd_values_in_every_field_of_a_file_leave_a_page(make_run, tmp_path, value):
    run = make_run(tmp_path / "run", pictures=0)
    for name in ("metrics.json", "split.json", "environment.json", "model.json"):
        text = (run / name).read_text()
        (run / name).write_text(json.dumps(dict.fromkeys(json.loads(text), value)))
        assert "Loss by epoch" in written(run)
        (run / name).write_text(text)


def test_control_characters_of_names_do_not_reach_the_page(make_run, tmp_path):
    run = make_run(tmp_path / "run", classes=("cat\x1b[31m", "dog\x00", "eel"), pictures=0)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", written(run))


def test_a_class_without_images_is_named(make_run, tmp_path):
    run = make_run(tmp_path / "run")
    per_class = json.loads((run / "metrics.json").read_text())["per_class"]
    per_class["eel"] |= {"support": 0, "recall": 0.0}
    assert "class 'eel' has no images" in Page(written(damage(run, per_class=per_class))).text()


def test_only_config_yaml_is_a_run_too(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("name: run\n")
    page = Page(written(tmp_path / "run")).text()
    assert "history.csv: missing" in page
    assert "python train.py run.yaml" in page


def test_calibration_of_an_older_run_comes_from_its_evaluation(make_run, tmp_path, blobs):
    run = make_run(tmp_path / "run")
    whole = json.loads((run / "metrics.json").read_text())
    (run / "evaluations" / "test").mkdir(parents=True)
    (run / "evaluations" / "test" / "metrics.json").write_text(json.dumps(whole))
    calibration = whole.pop("ece")
    (run / "metrics.json").write_text(json.dumps(whole))
    _, points = blobs(written(run))["reliability"]["data"]
    counts = [int(text.split()[-2]) for text in points["text"]]  # "run: 12 images"
    assert sum(counts) == sum(calibration["counts"]) == 120


def test_scores_of_nothing_are_nothing():
    assert read_scores({}, "f") == (read_scores({}, "g")[0], [])
    found, problems = read_scores({"loss": 0.5, "loss_interval": [0.5, 0.5]}, "f")  # every image costs the same
    assert (found.loss, found.loss_interval, problems) == (0.5, (0.5, 0.5), [])


ECE = {"value": 0.1, "edges": [0, 0.5, 1], "counts": [0, 4], "confidence": [None, 0.9], "accuracy": [None, 0.5]}


def test_each_number_of_a_split_is_taken_or_named_with_what_is_expected():
    taken = {
        ("accuracy", 0): "accuracy",
        ("accuracy", 1 + 1e-10): "accuracy",  # a mean of float64
        ("images", 0): "images",
        ("images", 7.0): "images",
        ("accuracy_interval", (0.5, 0.5)): "interval",
        ("loss", -3): "loss",
    }
    for (name, value), field in taken.items():
        found, problems = read_scores({name: value}, "f")
        assert (getattr(found, field), problems) == (value, [])
    share, interval = "a number from 0 to 1", "two numbers from 0 to 1, low and high"
    ranked = {"a": {"roc_area": 0.5, "average_precision": 2}}
    for name, values, expected in (
        ("accuracy", [-1e-9, 1 + 1e-8, True, "x" * 90], share),
        ("images", [-1, 7.5, True, 10**400, "7"], "a whole number of at least 0"),
        ("accuracy_interval", [[0.6, 0.5], [0.5], [0.5, 1.1], 0.5], interval),
        ("loss", [float("inf")], "a finite number"),
        ("brier_interval", [[2, 1]], "two numbers, low and high"),
        ("top_k", [{"2": {"accuracy": 1.5}}, {"two": {"accuracy": 0.5}}], "an accuracy from 0 to 1 for each k"),
        ("confusion", [[[1, -1], [0, 2]], [[1, 2, 3]]], "as many rows as columns of counts"),
        ("ece", [ECE | {name: [0.5] for name in ("edges",)}, ECE | {"counts": [4]}, ECE | {"accuracy": [0.5]},
                 ECE | {"confidence": [0.5]}, ECE | {"counts": [0, 4.5]}, ECE | {"interval": [1, 0]}],
         "value, edges, counts, confidence and accuracy"),
        ("ranking", [{"per_class": ranked}, {}], "ROC area and average precision of each class"),
    ):  # fmt: skip
        for value in values:
            found, problems = read_scores({name: value}, "f")
            text = repr(value)
            shown = text if len(text) <= 60 else f"{text[:60]}…"
            assert problems == [f"f: {name} is {shown}; expected {expected}; left out"]
            assert found == read_scores({}, "f")[0]
    found, problems = read_scores({"ece": ECE, "confusion": [[0, 4], [0, 0]]}, "f")
    assert (found.calibration.counts, found.calibration.accuracy, problems) == ((0, 4), (None, 0.5), [])


# --- what is asked for ------------------------------------------------------------------------------------------------


def asked(capsys, *arguments) -> tuple[int, str, str]:
    status = program.run(report.main, list(map(str, arguments)))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_default_places(make_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(html_module, "render", lambda *_: "the page")
    one, two = make_run(tmp_path / "sweep" / "run-10", pictures=0), make_run(tmp_path / "sweep" / "run-2", pictures=0)
    other = make_run(tmp_path / "other" / "run-2", pictures=0)
    for paths, place in (
        ([one], one / "report.html"),
        ([one, two], tmp_path / "sweep" / "report.html"),
        ([tmp_path / "sweep"], tmp_path / "sweep" / "report.html"),
        ([one, other, "--out", tmp_path / "new" / "a.html"], tmp_path / "new" / "a.html"),
        ([tmp_path / "sweep", other], tmp_path / "report.html"),
    ):
        status, out, _ = asked(capsys, *paths)
        assert status == 0
        assert str(place) in out
        assert place.is_file()


def test_runs_come_in_order_once_and_with_different_labels(make_run, tmp_path):
    one, two = make_run(tmp_path / "sweep" / "run-10"), make_run(tmp_path / "sweep" / "run-2")
    other = make_run(tmp_path / "other" / "run-2")
    (tmp_path / "sweep" / "broken").mkdir()
    (tmp_path / "sweep" / "broken" / "run.lock").touch()
    runs, problems = find_runs([tmp_path / "sweep", one, other])
    assert [run.record.path for run in runs] == [two, one, other]
    assert [run.label for run in runs] == ["sweep/run-2", "run-10", "other/run-2"]
    assert len(problems) == 1
    assert "broken: not a run folder" in problems[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fashoin"], ["fashoin: no such folder", "did you mean", "fashion?"]),
        (["empty"], ["empty: not a run folder", "has a config.yaml"]),
        (["fashion", "--out", "empty"], ["empty: is a folder", "report.html"]),
        (["fashion", "--out", "fashion/config.yaml/a.html"], ["cannot write the report"]),
        ([], ["arguments are required: RUN"]),
    ],
)
def test_what_is_refused_in_one_line(make_run, tmp_path, monkeypatch, capsys, arguments, words):
    make_run(tmp_path / "fashion")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    status, out, err = asked(capsys, *arguments)
    assert status == 2
    assert not out
    assert err.count("\n") == 1
    assert all(word in err for word in words)


def test_an_old_report_stays_where_the_new_one_fails(make_run, tmp_path):
    run = make_run(tmp_path / "run")
    before = written(run)
    (run / "config.yaml").unlink()
    with pytest.raises(InputError):
        write_report([run])
    assert (run / "report.html").read_text(encoding="utf-8") == before


# --- size and pictures ------------------------------------------------------------------------------------------------


def test_ten_runs_with_pictures_stay_below_five_megabytes(make_run, tmp_path):
    first = make_run(tmp_path / "run-0", classes=[f"class {i}" for i in range(10)], epochs=100, pictures=8)
    for i in range(1, 10):
        shutil.copytree(first, tmp_path / f"run-{i}")
    place = write_report([tmp_path])
    page = Page(place.read_text(encoding="utf-8"))
    thumbs = page.all("button", **{"class": "thumb"})
    more = sum(int(n) for n in re.findall(r"(\d+) more pictures? in", page.text()))
    assert place.stat().st_size < 5_000_000
    assert len(thumbs) >= 10
    assert len(thumbs) + more == 80
    assert {thumb["data-original"] for thumb in thumbs} == {"900 × 700"}
    assert not page.all("section", id="problems")  # what the page has no room for is no problem


SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><script>alert(1)</script></svg>'


def test_what_was_drawn_is_folded_by_view_within_the_limit(make_run, tmp_path, monkeypatch):
    first = make_run(tmp_path / "run-0", pictures=1)
    rng = np.random.default_rng(0)
    for view, count in (("activations", 12), ("attribution", 20), ("unknown", 1)):
        (folder := first / "visualizations" / view).mkdir(parents=True)
        for i in range(count):
            maps = rng.integers(0, 256, (12, 8, 3), dtype=np.uint8).repeat(50, axis=0).repeat(50, axis=1)
            Image.fromarray(maps).save(folder / f"figure_{i}.png")
    (first / "visualizations" / "attribution" / "drawn.svg").write_text(SVG)
    (first / "visualizations" / "attribution" / "page.html").write_text("")
    (first / "visualizations" / "explore").mkdir()
    (first / "visualizations" / "explore" / "page.html").write_text("")
    record_view(first / "visualizations", "attribution", "what it sees", {"figure_3.png": ["verdict: <b>passed</b>"]})
    rooms, embed = [], pictures.embed
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "embed", lambda of, room, **more: rooms.append(room) or embed(of, room, **more))
        page = Page(write_report([first]).read_text(encoding="utf-8"))
    own = sum(len(image["src"]) for image in page.all("img") if image["alt"].startswith("run-0: picture"))
    assert rooms[1] in (2 * rooms[0] - own, 2 * rooms[0] + 1 - own)  # the views have what the run's own have left
    assert len(page.all("details", **{"class": "view"})) == 4  # one has a page to explore, and no figure
    assert "verdict: <b>passed</b>" in page.text()  # as text
    shown = [image["alt"] for image in page.all("img")]
    assert sum(": attribution, " in alt for alt in shown) == 21
    assert sum(": activations, " in alt for alt in shown) == 12
    assert "21 figures, 1 page: what it sees" in page.text()
    for i in range(1, 10):
        shutil.copytree(first, tmp_path / f"run-{i}")
    place = write_report([tmp_path])
    page = Page(place.read_text(encoding="utf-8"))
    shown = [image["alt"] for image in page.all("img")]
    assert place.stat().st_size < LIMIT
    assert len(page.all("details", **{"class": "view"})) == 4 * 10
    for view in ("activations", "attribution", "unknown"):  # every view of every run shows a figure
        assert len({alt.split(":")[0] for alt in shown if f": {view}, " in alt}) == 10


def test_a_table_of_layers_is_shown_as_a_table(make_run, tmp_path):
    layers = [{"conv": 8, "kernel": 5}, {"relu": None}, {"<dense>": 3}]
    run = make_run(tmp_path / "run", pictures=0, model={"name": "layers", "table": layers})
    found = layer_tables(find_runs([run])[0])
    assert found[0][1].rows == (("1", "conv", "8", "kernel 5"), ("2", "relu", "", ""), ("3", "<dense>", "3", ""))
    assert "Layers of model.table" in Page(write_report([run]).read_text(encoding="utf-8")).text()
    other = make_run(tmp_path / "other", pictures=0, model={"name": "layers", "table": layers[:2], "x": ["é", 1]})
    twin = make_run(tmp_path / "twin", pictures=0, model={"name": "layers", "table": layers})
    append(run / "changes.txt", "model.table: None -> [{'conv': 8}]\n")
    runs, _ = find_runs([run, other, twin])
    assert [label for label, _ in layer_tables(runs)] == ["run, twin", "other"]
    assert differences(runs[:2]).rows == (
        ("model.table", "3 layers, see below", "2 layers, see below"),
        ("model.x", "-", '["é", 1]'),
    )
    assert differences(runs[:1]).rows[-1] == ("model.table", "None", "see its layers below")


def test_a_network_has_its_diagram_or_the_reason_why_not(make_run, tmp_path):
    run = make_run(tmp_path / "run", pictures=0)
    runs, _ = find_runs([run])
    (network,) = networks(runs)
    assert (network.name, network.runs, network.diagram, network.without) == ("net1", tuple(runs), None, "")
    assert network.totals == {"trainable": 504, "other": 0, "multiply_adds": 437_400}
    assert network.layers == (
        {
            "layer": "conv1",
            "type": "Conv2D",
            "output": "30×30×18",
            "trainable": "504",
            "other": "0",
            "multiply_adds": "437,400",
            "field": "3",
            "stride": "1",
        },
    )
    for text, size, reason in (
        (SVG, (40, 20), ""),
        (SVG + " " * (60_000 - len(SVG)), (40, 20), ""),
        (SVG + " " * (60_001 - len(SVG)), None, f"The diagram is in {run / 'model.svg'}."),
        ("<svg>", None, f"{run / 'model.svg'} cannot be shown: no SVG with a width and a height in pixels."),
    ):
        (run / "model.svg").write_text(text)
        (network,) = networks(runs)
        assert network.without == reason
        assert (network.diagram and network.diagram[1]) == size
        if size:
            assert base64.b64decode(network.diagram[0].removeprefix("data:image/svg+xml;base64,")).decode() == text


def test_pictures_keep_their_size_where_there_is_room(make_run, tmp_path):
    run = make_run(tmp_path / "run", pictures=0)
    original = np.zeros((1500, 2000, 3), np.uint8)
    original[:, :1000] = 255
    Image.fromarray(original).save(run / "figures" / "mistakes.png")
    runs, _ = find_runs([run])
    (picture,), more, problems = pictures.embed(pictures.find(runs), 1_000_000)
    assert (picture.size, picture.original, more, problems) == ((2000, 1500), (2000, 1500), [], [])
    (run / "figures" / "scores.png").write_bytes(b"x")
    _, more, problems = pictures.embed(pictures.find(runs), 1_000_000)
    assert (more, len(problems)) == ([], 1)  # what is damaged is not said to be elsewhere


def test_pictures_share_the_room(make_run, tmp_path):
    runs, _ = find_runs([make_run(tmp_path / "run", pictures=3)])
    for budget in (2_000_000, 300_000, 1000):
        shown, more, problems = pictures.embed(pictures.find(runs), budget)
        assert sum(len(picture.url) for picture in shown) <= budget
        assert len(shown) + sum(len(found.paths) for found in more) == 3
        assert not problems
    assert not shown
    for i in (1, 2):
        Image.new("RGB", (40, 30)).save(tmp_path / "run" / "figures" / f"picture_{i}.png")
    shown, _, _ = pictures.embed(pictures.find(runs), 150_000)
    assert max(len(picture.url) for picture in shown) > 75_000  # what small ones do not use is the large one's


# --- colours ----------------------------------------------------------------------------------------------------------

PAPER = {"light": "#ffffff", "dark": "#15171a"}
# Machado, Oliveira and Fernandes, A Physiologically-based Model for Simulation of Color Vision Deficiency (2009),
# severity 1.0, on linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    """WCAG 2's ratio."""
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b))
    return (high + 0.05) / (low + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* under D65."""
    matrix = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    t = np.clip(matrix @ np.clip(rgb, 0, 1) / [0.95047, 1, 1.08883], 1e-9, None)
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("paper", PAPER)
def test_run_colours_stand_out_from_the_page(paper):
    assert min(contrast(colour, PAPER[paper]) for colour in charts.PALETTE) >= 3


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_run_colours_can_be_told_apart(blindness):
    seen = [lab(BLINDNESS[blindness] @ linear(colour)) for colour in charts.PALETTE]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) >= 10


def test_charts_and_figures_share_their_colours():
    assert {style.BLUE, style.ORANGE, style.GREEN} <= set(charts.PALETTE)
    looks = [(charts.colour(run), charts.dash(run)) for run in range(24)]
    assert len(set(looks)) == 24


def test_text_colours_are_readable_in_both_themes(nasty_page):
    sheet = re.search(r"<style>(.*?)</style>", nasty_page.text, re.DOTALL)[1]
    themes = [
        dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r"\{([^{}]*--paper:[^{}]*)\}", sheet)
    ]
    assert [theme["paper"] for theme in themes] == [PAPER["light"], PAPER["dark"], PAPER["dark"], "#ffffff"]
    assert themes[1] == themes[2]
    for theme in themes:
        assert contrast(theme["ink"], theme["paper"]) >= 7
        assert min(contrast(theme[name], theme["paper"]) for name in ("grey", "link", "bad")) >= 4.5


def test_a_page_of_a_thousand_classes_shows_the_worst_and_searches_the_rest(make_run, tmp_path):
    names = [f"kind {i}" for i in range(1000)]
    runs = [make_run(tmp_path / f"run-{seed}", classes=names, images=3000, seed=seed) for seed in (1, 2)]
    page = write_report(runs, tmp_path / "page.html")
    text = page.read_text(encoding="utf-8")
    assert page.stat().st_size < 5_000_000
    charts = {m[1]: json.loads(m[2]) for m in re.finditer(r'id="chart-([\w-]+)">(.*?)</script>', text)}
    numbers = [json.loads((run / "metrics.json").read_text())["per_class"] for run in runs]
    recalls = {n: [scores[n]["recall"] for scores in numbers if scores[n]["support"]] for n in names}
    means = {n: np.mean(values) for n, values in recalls.items() if values}
    shown = charts["classes"]["layout"]["yaxis"]["ticktext"]
    assert len(shown) == 40
    assert [means[n] for n in shown] == sorted(means.values())[:40]
    assert "Recall of the 40 classes of lowest recall, of 1,000" in text
    assert len(charts["confusion-0"]["layout"]["yaxis"]["ticktext"]) == 30
    assert re.findall(r'<table data-search="(\d+)">', text) == ["2000", "300", "300"]
    assert "have no images, such as" in text  # in one line for all of them
