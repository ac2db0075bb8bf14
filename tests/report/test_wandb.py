"""The W&B Report as objects, built with no network and no key; saving says in one line what it needs."""

import json
import re
import socket
import warnings
from pathlib import Path

import pytest
import yaml

from keras_cnn.errors import InputError
from keras_cnn.report import wandb as report_wandb
from keras_cnn.report.runs import find_runs
from keras_cnn.report.sections.content import collect


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    """No key, no home to find one in, and no way out."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_ENTITY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))

    def connect(*arguments):
        raise AssertionError(f"a connection was tried: {arguments[1:]}")

    monkeypatch.setattr(socket.socket, "connect", connect)


def run_folder(folder: Path, name: str, accuracy: float, *, mirrored: bool = True, **fields) -> Path:
    path = folder / name
    path.mkdir(parents=True)
    config = {
        "name": name,
        "seed": 1,
        "data": {"source": "fashion-mini"},
        "model": {"name": "net1", "l1_oc": 6},
        "tracking": {"project": "lab", "entity": None},
        "published": [{"figure": "test_accuracy", "value": 0.5, "source": "a|b <page 3>"}],
    }
    for field, value in fields.items():
        section, key = field.split("__")
        config[section][key] = value
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    (path / "environment.json").write_text(json.dumps({"command": f"python train.py --name {name}", "git": "abc123"}))
    (path / "history.csv").write_text(
        "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,epoch_seconds,run_seconds\n"
        "1,1.5,0.4,1.4,0.5,0.01,2,2\n2,1.0,0.6,1.2,0.6,0.01,2,4\n"
    )
    metrics = {"images": 1000, "accuracy": accuracy, "accuracy_interval": [accuracy - 0.03, accuracy + 0.03]}
    (path / "metrics.json").write_text(json.dumps(metrics | {"best_epoch": 2, "chosen_by": "val_accuracy"}))
    if mirrored:
        (path / "wandb" / f"offline-run-20260102_030405-{name}id").mkdir(parents=True)
        (path / "wandb" / "latest-run").symlink_to(f"offline-run-20260102_030405-{name}id")
    return path


def blocks(report, kind: str) -> list:
    return [block for block in report.blocks if type(block).__name__ == kind]


def text(report) -> str:
    return "\n".join(getattr(b, "text", "") or getattr(b, "code", "") for b in report.blocks)


def test_the_report_has_the_content_of_the_page(tmp_path):
    paths = [run_folder(tmp_path, "a", 0.6), run_folder(tmp_path, "b", 0.8, model__l1_oc=18)]
    report = report_wandb.build(paths)
    assert (report.title, report.project, report.entity) == ("2 runs: a, b", "lab", "")
    titles = [block.text for block in blocks(report, "H2")]
    assert titles[0] == "Runs"
    for section in ("Comparison with published results", "Curves", "Configuration differences", "Protocol audit"):
        assert section in titles
    content = collect(find_runs(paths)[0])
    written = text(report)
    for _, rows in content.published:
        assert all(row.verdict in written and row.reason in written for row in rows)
    assert "| test accuracy | 0.5 | 0.8 | [0.8, 0.8] |" in written
    for audit in content.audits:
        assert all(finding.sentence in written for finding in audit.flaws)
    for row in content.rows:
        assert all(cell.text in written for cell in row)
    assert "| a | 60.00 % [57.00, 63.00] |" in written
    assert "| model.l1_oc | 6 | 18 |" in written
    assert "python train.py --name a" in written
    assert "# commit abc123" in written


def test_findings_are_in_it_with_their_runs(tmp_path):
    paths = [
        run_folder(tmp_path, f"w{width}s{seed}", 0.5 + 0.005 * width + 0.001 * seed * width, model__l1_oc=width)
        for width in (6, 18)
        for seed in range(6)
    ]
    for seed, path in enumerate(paths):
        config = yaml.safe_load((path / "config.yaml").read_text()) | {"seed": seed % 6}
        (path / "config.yaml").write_text(yaml.safe_dump(config))
    written = text(report_wandb.build(paths))
    assert "**model.l1_oc 18 beats 6 by " in written
    # 0.53, and 0.006 more each time: mean 0.545, standard deviation 0.006 · √3.5, Student's t(5) 2.571.
    by_seed = ", ".join(f"{seed}: {53 + 0.6 * seed:.2f} %" for seed in range(6))
    assert f"| 6 | 54.50 % | 1.12 % | [53.32, 55.68] | {by_seed} |" in written
    assert "Holm's correction over 1 comparison at 5 %; w18s0, w18s1" in written


def test_panels_show_the_runs_by_their_ids(tmp_path):
    paths = [run_folder(tmp_path, "a", 0.6), run_folder(tmp_path, "b", 0.8)]
    (paths[0] / "wandb" / "run-20260103_030405-aid-2").mkdir()
    (grid,) = blocks(report_wandb.build(paths), "PanelGrid")
    (runset,) = grid.runsets
    assert runset.project == "lab"
    assert re.findall(r"'(\S+?)'", runset.filters) == ["aid", "aid-2", "bid"]
    kinds = [type(panel).__name__ for panel in grid.panels]
    assert kinds.count("LinePlot") == 3
    assert {"RunComparer", "MediaBrowser", "BarPlot"} <= set(kinds)
    curves = {panel.title: (panel.x, panel.y) for panel in grid.panels if type(panel).__name__ == "LinePlot"}
    assert curves["Loss by epoch"] == ("epoch", ["loss", "val_loss"])  # the names that the mirror logs
    assert curves["Accuracy by epoch"] == ("epoch", ["accuracy", "val_accuracy"])


def test_runs_of_other_projects_have_their_own_run_set(tmp_path):
    paths = [
        run_folder(tmp_path, "a", 0.6),
        run_folder(tmp_path, "b", 0.8, tracking__project="other", tracking__entity="team"),
    ]
    (grid,) = blocks(report_wandb.build(paths), "PanelGrid")
    assert [(r.entity, r.project, r.name) for r in grid.runsets] == [("", "lab", "a"), ("team", "other", "b")]


def test_curves_of_runs_that_were_never_mirrored_are_tables(tmp_path):
    report = report_wandb.build([run_folder(tmp_path, "a", 0.6, mirrored=False)])
    assert blocks(report, "PanelGrid") == []
    assert "Not in the panels, because they have no W&B run: a." in text(report)
    assert "| 2 | 1.0000 | 1.2000 |" in text(report)


def test_the_specification_is_what_wandb_would_be_sent(tmp_path):
    report = report_wandb.build([run_folder(tmp_path, "a", 0.6)])
    spec = json.loads(report._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))
    (grid,) = [block for block in spec["blocks"] if block["type"] == "panel-grid"]
    filters = grid["metadata"]["runSets"][0]["filters"]["filters"]
    assert [(f["key"], f["op"], f["value"]) for f in filters] == [({"section": "run", "name": "name"}, "IN", ["aid"])]


def test_a_names_own_markdown_is_text(tmp_path):
    written = text(report_wandb.build([run_folder(tmp_path, "a", 0.6)]))
    assert "a\\|b &lt;page 3>" in written


def test_titles_fit_and_wrong_paths_are_named(tmp_path):
    report = report_wandb.build([run_folder(tmp_path, f"a{'x' * 80}{i}", 0.6) for i in range(3)])
    assert len(report.title) == 128
    with pytest.raises(InputError, match="no such folder"):
        report_wandb.build([tmp_path / "nothing"])


# --- saving -----------------------------------------------------------------------------------------------------------


def test_saving_without_a_key_says_so_in_one_line_and_never_asks(tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a prompt"))
    report = report_wandb.build([run_folder(tmp_path, "a", 0.6)])
    with pytest.raises(InputError) as caught:
        report_wandb.save(report)
    assert str(caught.value) == ("W&B: no key, so the report is not saved; expected WANDB_API_KEY or `wandb login`")


class Account:
    """Stands for wandb.Api of a signed-in user."""

    default_entity = "me"

    def __init__(self, timeout: int):
        assert timeout <= 10


@pytest.fixture
def signed_in(monkeypatch):
    import wandb

    monkeypatch.setattr(wandb, "login", lambda **_: True)
    monkeypatch.setattr(wandb, "Api", Account)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wandb_workspaces.reports.v2 as wr
    return wr


def test_saving_fills_in_the_accounts_own_entity(tmp_path, monkeypatch, signed_in):
    saved = []
    monkeypatch.setattr(signed_in.Report, "save", lambda report: saved.append(report))
    monkeypatch.setattr(signed_in.Report, "url", property(lambda report: f"https://w/{report.entity}/{report.project}"))
    paths = [run_folder(tmp_path, "a", 0.6), run_folder(tmp_path, "b", 0.8, tracking__entity="team")]
    assert report_wandb.save(report_wandb.build(paths)) == "https://w/me/lab"
    (grid,) = blocks(saved[0], "PanelGrid")
    assert [runset.entity for runset in grid.runsets] == ["me", "team"]


def test_what_wandb_raises_is_one_line(tmp_path, monkeypatch, signed_in):
    def refuse(report):
        raise ValueError("Run set 'a' project\n'me/lab' not found")

    monkeypatch.setattr(signed_in.Report, "save", refuse)
    with pytest.raises(InputError) as caught:
        report_wandb.save(report_wandb.build([run_folder(tmp_path, "a", 0.6)]))
    assert str(caught.value) == "W&B: the report is not saved: ValueError: Run set 'a' project 'me/lab' not found"
