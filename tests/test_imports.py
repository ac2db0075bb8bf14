"""Imports point one way: the order of the house in CONTRIBUTING, read from the source and enforced."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "keras_cnn"
FILES = sorted(PACKAGE.rglob("*.py"))

OPEN = {"errors", "messages"}  # areas that every other one may import
MAY_IMPORT = {  # area of keras_cnn -> the other areas it may import
    "errors": set(),
    "messages": set(),
    "config": {"checking"},
    "figures": set(),
    "run_folder": {"config"},
    "tracking": set(),
    "data": {"run_folder"},
    "checking": set(),
    "models": {"checking"},
    "loading": {"checking", "config", "data", "models"},
    "evaluation": {"run_folder", "loading", "config", "data", "figures"},
    "training": {"config", "run_folder", "tracking", "data", "models", "figures"},
    "tasks": {"checking", "config", "run_folder", "tracking", "loading", "data", "models", "evaluation", "figures"}
    | {"detection", "training"},
    "sweeps": {"checking", "command_line", "config", "run_folder", "tracking", "training", "loading", "evaluation"}
    | {"figures", "tasks"},
    "publications": {"config", "run_folder"},
    "report": {"checking", "config", "publications", "run_folder", "evaluation", "figures", "sweeps"},
    "detection": {
        "checking",
        "config",
        "run_folder",
        "data",
        "models",
        "evaluation",
        "figures",
    },
    "visualization": {"checking", "models", "evaluation"},
    "views": {"checking", "config", "run_folder", "loading", "data", "models", "evaluation", "figures"}
    | {"publications", "visualization", "detection"},
    "command_line": set(),
    "export": {"checking", "config", "run_folder", "loading", "data", "models", "evaluation"},
    "cli": {
        "command_line",
        "config",
        "run_folder",
        "loading",
        "training",
        "evaluation",
        "sweeps",
        "report",
        "export",
    }
    | {"detection", "checking", "tasks", "views"},
}
ONLY_IN = {"wandb": {"tracking.py", "sweeps/wandb.py", "report/wandb.py"}, "wandb_workspaces": {"report/wandb.py"}}


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def area(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    here = area(path)
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("keras_cnn.")} - {here, *OPEN}
    if here != "__init__":
        assert ours <= MAY_IMPORT[here]
    for package, files in ONLY_IN.items():
        if str(path.relative_to(PACKAGE)) not in files:
            assert not {n for n in imports(path) if n.split(".")[0] == package}


def test_gradients_of_visualization_come_from_one_module():
    tapes = [path for folder in ("visualization", "views") for path in (PACKAGE / folder).rglob("*.py")]
    found = [
        path.name for path in tapes if "GradientTape" in path.read_text() or "backend.backend()" in path.read_text()
    ]
    assert found == ["gradients.py"]


def test_faces_hold_no_logic():
    for face in ("train.py", "evaluate.py", "report.py", "detect.py", "visualize.py"):
        assert len((ROOT / face).read_text().splitlines()) < 40
