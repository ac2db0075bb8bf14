"""The rules of the house, read from the source: imports point one way, a name has one meaning, prose begins well."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "keras_cnn"
FILES = sorted(PACKAGE.rglob("*.py"))

# Areas of keras_cnn, the lowest first: each may import those before it.
ORDER = (
    "errors",
    "messages",
    "extras",
    "operating_system",
    "csv_tables",
    "progress_bar",
    "tensorflow_import",
    "networks",
    "checking",
    "closed_formulas",
    "config",
    "run_folder",
    "tracking",
    "distribution",
    "data",
    "models",
    "loading",
    "publications",
    "figures",
    "charts",
    "evaluation",
    "visualization",
    "training",
    "detection",
    "tasks",
    "gpu_check",
    "machine",
    "export",
    "sweeps",
    "analysis",
    "report",
    "views",
    "prediction",
    "api",
    "cli",
    "__init__",
    "__main__",
)
NEVER = {  # area -> areas before it that it must not know
    "data": {"models"},
    "models": {"config", "data", "run_folder"},
    "figures": {"checking", "config", "data", "loading", "models", "publications", "run_folder", "tracking"},
    "visualization": {"config", "data", "figures", "loading", "publications", "run_folder", "tracking"},
    "evaluation": {"tracking"},
    "report": {"data", "models", "training"},
    "views": {"report", "sweeps", "training"},
}
ONLY_IN = {
    "wandb": {"tracking.py", "sweeps/wandb.py", "report/wandb.py"},
    "wandb_workspaces": {"report/wandb.py"},
    "keras.src": {"models/graph.py"},
    "psutil": {"operating_system.py"},
    "portalocker": {"operating_system.py"},
    "fcntl": set(),  # Linux and macOS alone have it
    "resource": set(),
}


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def area(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def nodes(*kinds: type) -> Iterator[tuple[Path, ast.AST]]:
    return ((path, node) for path in FILES for node in ast.walk(tree(path)) if isinstance(node, kinds))


@cache
def imports(path: Path) -> frozenset[str]:
    """Dotted names that a file imports anywhere, also inside functions: modules, and what is taken from them."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def file_of(name: str) -> Path | None:
    """The file of the package that defines an imported name: its module's or, for what is no module, the one above."""
    parts = name.split(".")
    while parts and parts[0] == "keras_cnn":
        for path in (ROOT.joinpath(*parts).with_suffix(".py"), ROOT.joinpath(*parts, "__init__.py")):
            if path.is_file():
                return path
        parts.pop()
    return None


def imported_files(path: Path) -> set[Path]:
    return {file for name in imports(path) if (file := file_of(name))} - {path}


def cycles() -> set[tuple[str, ...]]:
    """Groups of files that import each other, directly or not (Tarjan's strongly connected components)."""
    index, low, stack, found = {}, {}, [], set()

    def visit(path: Path) -> None:
        index[path] = low[path] = len(index)
        stack.append(path)
        for other in imported_files(path):
            if other not in index:
                visit(other)
                low[path] = min(low[path], low[other])
            elif other in stack:
                low[path] = min(low[path], index[other])
        if low[path] == index[path]:
            start = stack.index(path)
            group, stack[start:] = stack[start:], []
            if len(group) > 1:
                found.add(tuple(sorted(map(name_of, group))))

    for path in FILES:
        if path not in index:
            visit(path)
    return found


def test_no_files_import_each_other():
    assert cycles() == set()


def test_areas_import_those_below():
    wrong = []
    for path in FILES:
        below = set(ORDER[: ORDER.index(area(path))]) - NEVER.get(area(path), set())
        others = {area(file) for file in imported_files(path)} - {area(path), *below}
        wrong += [f"{name_of(path)} imports {other}" for other in sorted(others)]
    assert wrong == []


def test_packages_that_one_file_wraps_are_imported_there_alone():
    wrong = []
    for path in FILES:
        for package, files in ONLY_IN.items():
            uses = any(name == package or name.startswith(f"{package}.") for name in imports(path))
            if uses and name_of(path) not in files:
                wrong.append(f"{name_of(path)} imports {package}")
    assert wrong == []


def test_cores_are_counted_in_one_place():
    """Not every system has `sched_getaffinity`, and `cpu_count` counts cores that this process may not use."""
    counting = re.compile(r"sched_[gs]etaffinity|cpu_count\(")
    assert [name_of(path) for path in FILES if counting.search(path.read_text("utf-8"))] == ["operating_system.py"]


def test_a_class_name_has_one_meaning():
    places = defaultdict(list)
    for path, node in nodes(ast.ClassDef):
        places[node.name].append(name_of(path))
    doubles = {name: files for name, files in places.items() if len(files) > 1}
    assert doubles == {}


def test_docstrings_begin_with_what_the_thing_is():
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    wrong = {name_of(path) for path, node in nodes(*kinds) if re.match(r"(Of|What is) ", ast.get_docstring(node) or "")}
    assert wrong == set()


def test_more_than_five_parameters_have_names_at_the_call():
    wrong = set()
    for path, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef):
        positional = [a.arg for a in (*node.args.posonlyargs, *node.args.args) if a.arg not in ("self", "cls")]
        if len(positional) > 5:
            wrong.add(f"{name_of(path)}:{node.name}")
    assert wrong == set()


def test_gradients_of_visualization_come_from_one_module():
    tapes = [path for folder in ("visualization", "views") for path in (PACKAGE / folder).rglob("*.py")]
    found = [
        path.name for path in tapes if "GradientTape" in path.read_text() or "backend.backend()" in path.read_text()
    ]
    assert found == ["gradients.py"]


def test_programs_hold_no_logic():
    for program in ("train.py", "finetune.py", "evaluate.py", "predict.py", "report.py", "detect.py", "visualize.py"):
        assert len((ROOT / program).read_text().splitlines()) <= 12
