"""The page's part on a comparison of recipes: its numbers by hand, and the print of the same recipes beside them."""

import json

import pytest

from keras_cnn.analysis.recipes import FOLDER
from keras_cnn.analysis.run_tables import find_table
from keras_cnn.report.html import write_report
from keras_cnn.report.recipes import recipe_sections

COMPARISON = {
    "method": "grid",
    "metric": {"name": "val_accuracy", "goal": "maximize"},
    "parameters": {
        "backbone": {"values": ["resnet50", "resnet18"]},
        "strategy": {"values": ["head", "all"]},
        "model.weights": {"value": "imagenet"},
        "data.source": {"value": "folder:inaturalist_12K"},
    },
    "keras_cnn": {
        "repeats": 2,
        "names": {
            "backbone": "model.name",
            "strategy": {"head": {"finetune.freeze_upto": "all"}, "all": {"finetune.freeze_upto": 0}},
        },
    },
}


def percents(assignment: dict) -> tuple[int, int]:
    mean = 60 + 10 * (assignment["strategy"] == "all")
    return mean - 1, mean + 1


@pytest.fixture(scope="module")
def compared(make_sweep, tmp_path_factory):
    """Four recipes with two seeds each, of which the second takes twice as long; three epochs of 2 seconds."""
    path = make_sweep(tmp_path_factory.mktemp("recipes") / "compared", COMPARISON, [percents] * 4)
    for file in path.glob("*/split.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"ids": {"validation": ["a", "b"]}}))
    (path / FOLDER).mkdir()
    return path


def rows(part, caption):
    found = {**dict(part.tables), **dict(part.folded), **{c.title: c.table for c in part.charts}}[caption]
    return [dict(zip(found.head, row, strict=True)) for row in found.rows]


def test_the_part_has_each_recipes_numbers(compared):
    (part,) = recipe_sections(find_table([compared]))
    cells = {row["recipe"]: row for row in rows(part, "")}
    assert list(cells) == ["resnet50 head", "resnet50 all", "resnet18 head", "resnet18 all"]
    # Student's t at one degree of freedom is 12.706, the standard error of 59 and 61 is 1.
    assert cells["resnet50 head"]["validation accuracy"] == "60.00 % [47.29, 72.71]"
    assert cells["resnet50 head"]["minutes"] == "0.15 [0.00, 0.79]"  # 6 and 12 seconds
    differences = rows(part, "Differences between recipes")
    assert [row["difference"] for row in differences if row["recipes"] == "all - head"] == [
        "+10.00 points [+10.00, +10.00]",
        "+10.00 points [+10.00, +10.00]",
        "+0.00 minutes [+0.00, +0.00]",
        "+0.00 minutes [+0.00, +0.00]",
    ]
    assert all(row["verdict"] == "inconclusive: 2 of 6 pairs" for row in differences)
    reach = {row["recipe"]: row for row in rows(part, "Epochs to a share of the best recipe's accuracy")}
    assert reach["resnet18 all"]["99 %"] == "reached by 1 of 2"  # 0.693: the seeds end at 0.69 and 0.71
    # 0.665: at 0.67, 0.68, 0.69 in the first epoch, and at 0.69 in the first too.
    assert reach["resnet18 all"]["95 %"] == "1.0 [1.0, 1.0]"
    assert reach["resnet18 head"]["90 %"] == "not reached"
    assert len(rows(part, "Every seed")) == 8
    assert part.findings == ("For 4 pairs of recipes no difference in validation accuracy is shown.",)
    by_time = rows(part, "Validation accuracy by time")
    assert by_time[0] == {"recipe": "resnet50 head", "seconds": "3.0", "validation accuracy": "58.00 %", "seeds": "2"}


def test_figures_printed_of_the_same_recipe_stand_beside_the_measured_ones(compared):
    (part,) = recipe_sections(find_table([compared]))
    beside = rows(part, "Printed elsewhere, of the same images, backbone and weights")
    assert {(row["recipe"], row["experiment"]) for row in beside} == {
        ("resnet50 head", "cs6910/resnet50-head-only"),
        ("resnet50 head", "cs6910/resnet50-pretrained"),
        ("resnet50 all", "cs6910/resnet50-all-layers"),
        ("resnet50 all", "cs6910/resnet50-pretrained"),
    }
    by_figure = {row["figure"]: row for row in beside if row["experiment"] == "cs6910/resnet50-all-layers"}
    assert {name: row["printed"] for name, row in by_figure.items()} == {
        "minutes": "4.798",
        "train loss": "0.7526",
        "train accuracy": "0.7462",
        "validation accuracy": "0.823",
        "validation loss": "0.5594",
    }
    assert by_figure["validation accuracy"]["measured"] == "0.7000 [0.5729, 0.8271]"
    assert any("would need the settings of its run, which are not printed" in note for note in part.notes)


def test_the_page_has_it_first_and_only_of_a_comparison(compared, grid_sweep):
    page = write_report([compared]).read_text(encoding="utf-8")
    assert 0 < page.index('<section id="recipes"') < page.index('<section id="sweep"')
    assert recipe_sections(find_table([grid_sweep])) == []
    assert recipe_sections(None) == []


def test_what_cannot_be_compared_has_the_reason_in_its_place(make_sweep, tmp_path):
    path = make_sweep(tmp_path / "compared", COMPARISON, ["out of memory"])
    (path / FOLDER).mkdir()
    (part,) = recipe_sections(find_table([path]))
    assert part.warnings == (f"Not shown: {path}: no trial has ended with a value; nothing to compare.",)
