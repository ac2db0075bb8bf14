"""The optional packages: the extras of pyproject.toml, what each brings, and the line that installs it."""

from collections.abc import Collection
from importlib import metadata, util

from keras_cnn.errors import InputError

EXTRAS = {  # extra: the modules that it brings
    "video": ("av", "cv2", "supervision", "trackers"),
    "parquet": ("pyarrow",),
    "export": ("ai_edge_litert", "onnx", "onnxruntime", "tf2onnx"),
    "remote": ("fsspec", "aiohttp"),
    "demo": ("gradio",),
}


def require_extra(extra: str, purpose: str, modules: Collection[str] | None = None) -> None:
    """Raises InputError, with the line that installs the extra, if one of its modules is missing.

    `purpose` begins the message and says what needs the modules; `modules` are those needed, by default all.
    """
    missing = missing_modules(EXTRAS[extra] if modules is None else modules)
    if missing:
        raise InputError(f"{purpose}: {', '.join(missing)} not found; install the extra {extra}: {install_line(extra)}")


def missing_modules(modules: Collection[str]) -> list[str]:
    """Those of the modules that are not installed; none is imported."""
    return [name for name in modules if util.find_spec(name) is None]


def install_line(extra: str) -> str:
    """The command that installs an extra: by the name of the package or, where it is not installed, in the checkout."""
    try:
        metadata.version("keras_cnn")
    except metadata.PackageNotFoundError:
        return f'pip install ".[{extra}]"'
    return f'pip install "keras_cnn[{extra}]"'
