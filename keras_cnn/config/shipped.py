"""The configs, sweeps and comparisons that come with the package, found by name from any folder."""

from pathlib import Path
from typing import Literal

from keras_cnn.checking import near_path, nearest
from keras_cnn.errors import InputError

Kind = Literal["config", "sweep", "comparison"]
_FOLDERS: dict[Kind, tuple[str, ...]] = {
    "config": ("", "published"),
    "sweep": ("sweeps",),
    "comparison": ("comparisons",),
}


def shipped_folder() -> Path:
    """`keras_cnn/configs` of an installed package or, where the code runs uninstalled, `configs` beside the package."""
    package = Path(__file__).parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.with_name("configs")


def shipped(kind: Kind = "config") -> dict[str, Path]:
    """The files of a kind by their names, which are those of the files without `.yaml`."""
    folders = [shipped_folder() / name for name in _FOLDERS[kind]]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def described(path: Path) -> str:
    """The path of a config for a message; a shipped one is called by its name."""
    return f"{path.stem}, of the package" if path.is_relative_to(shipped_folder()) else str(path)


def find_config(given: Path, kind: Kind = "config") -> Path:
    """The file `given` or, if there is none, the shipped one of that name.

    Raises InputError with the nearest name for a word that names neither. A missing path is left to the reader of the
    file, unless its name is that of a shipped one.
    """
    if given.is_file():
        return given
    names = shipped(kind)
    if given.name == str(given) and not given.suffix:
        if given.name in names:
            return names[given.name]
        near = near_path(given) if kind == "config" else None  # a folder of photos, spelt wrongly
        hint = f"; did you mean {near}?" if near else nearest(given.name, names)
        what = "file or folder" if kind == "config" else "file"
        raise InputError(f"{given}: no such {what}, and no {kind} of the package{hint}")
    if not given.exists() and given.stem in names:
        raise InputError(f"{given}: no such file; expected {given.stem}, the {kind} of the package, or another file")
    return given
