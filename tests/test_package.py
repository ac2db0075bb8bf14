"""The package as it is installed: what the wheel holds, the command `keras-cnn`, shipped configs, optional packages."""

import importlib.util
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from keras_cnn import extras, run_folder
from keras_cnn.cli import commands
from keras_cnn.config.shipped import find_config, shipped
from keras_cnn.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """A wheel built from the checkout without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    build = f"import setuptools.build_meta as b; print(b.build_wheel({str(folder)!r}))"
    options = {"build": {"build_base": str(folder / "build")}, "egg_info": {"egg_base": str(folder)}}
    settings = folder / "settings.cfg"
    settings.write_text("".join(f"[{name}]\n{k} = {v}\n" for name, of in options.items() for k, v in of.items()))
    environment = os.environ | {"DIST_EXTRA_CONFIG": str(settings)}
    done = subprocess.run([sys.executable, "-c", build], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_every_file_of_the_package_and_the_configs(wheel):
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    package = [path for path in (ROOT / "keras_cnn").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    expected = {str(path.relative_to(ROOT).as_posix()) for path in package}
    configs = (ROOT / "configs").rglob("*.yaml")
    expected |= {f"keras_cnn/{path.relative_to(ROOT).as_posix()}" for path in configs}
    assert held == expected


def test_the_wheel_gives_the_command_and_asks_for_the_core_alone(wheel):
    (entry,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert wheel.read(entry).decode().split() == ["[console_scripts]", "keras-cnn", "=", "keras_cnn.cli.commands:main"]
    (metadata,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    required = [line for line in wheel.read(metadata).decode().splitlines() if line.startswith("Requires-Dist: ")]
    core = {line.split(": ")[1].split("<")[0].split(">")[0] for line in required if "extra ==" not in line}
    assert {"tensorflow", "keras", "wandb"} <= core
    assert not {"av", "trackers", "supervision", "opencv-python", "onnx", "pytest"} & core


def test_help_lists_the_subcommands_without_tensorflow():
    code = "import sys; from keras_cnn.cli.commands import main; status = main(['--help'])\n"
    code += "print(status, sorted({'tensorflow', 'numpy', 'yaml'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    *text, last = done.stdout.splitlines()
    assert last == "0 []"
    assert {line.split()[0] for line in text if line.startswith("  ")} == set(commands.COMMANDS)


def test_each_subcommand_is_a_module_and_has_help(capsys):
    for name in commands.COMMANDS:
        with pytest.raises(SystemExit) as end:
            commands.main([name, "--help"])
        assert end.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: keras-cnn {name} ")


def test_an_unknown_subcommand_names_the_nearest(capsys):
    assert commands.main(["trian"]) == 2
    assert capsys.readouterr().err == "error: command line: 'trian' is no subcommand; did you mean train?\n"


@pytest.mark.parametrize(
    ("called", "expected"),
    [
        ("train.py", "{python} report.py 'my run'"),
        ("../lab/train.py", "{python} ../lab/report.py 'my run'"),
        ("/usr/bin/keras-cnn", "keras-cnn report 'my run'"),
        ("/lib/keras_cnn/__main__.py", "{python} -m keras_cnn report 'my run'"),
        ("/lib/ipykernel_launcher.py", "keras-cnn report 'my run'"),
    ],
)
def test_commands_to_copy_are_called_as_this_process_was(monkeypatch, called, expected):
    monkeypatch.setattr(sys, "argv", [called])
    assert run_folder.shell_command("report", "my run") == expected.format(python=run_folder.python())


def test_a_config_of_the_package_is_found_by_its_name_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(Path("cs7015_net4")).read_text() == (ROOT / "configs/published/cs7015_net4.yaml").read_text()
    assert find_config(Path("quick"), "sweep").parts[-2:] == ("sweeps", "quick.yaml")
    assert find_config(Path("quick"), "comparison").parts[-2:] == ("comparisons", "quick.yaml")
    assert {"default", "finetune", "photos", "boxes"} <= set(shipped())
    for given, end in (("cs7015_net44", "did you mean cs7015_net4?"), ("configs/photos.yaml", "expected photos, the ")):
        with pytest.raises(InputError, match=end.replace("?", r"\?")):
            find_config(Path(given))
    (tmp_path / "photos").write_text("name: mine\n")
    assert find_config(Path("photos")) == Path("photos")  # a file of the user's comes first
    assert find_config(Path("mine.yaml")) == Path("mine.yaml")  # the reader of the file says that it is missing


def test_the_extras_are_those_of_pyproject():
    declared = PYPROJECT["project"]["optional-dependencies"]
    assert set(extras.EXTRAS) <= set(declared)
    for extra, modules in extras.EXTRAS.items():
        assert len(declared[extra]) == len(modules)


def test_a_command_without_its_extra_names_it_with_the_line_to_install(capsys, monkeypatch):
    for module in extras.EXTRAS["video"]:
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    assert importlib.util.find_spec("av") is None
    assert commands.main(["detect", "photos", "--model", "yolov3-tiny"]) == 2
    missing = "av, cv2, supervision, trackers not found; install the extra video"
    assert capsys.readouterr().err == f"error: detection: {missing}: {extras.install_line('video')}\n"
