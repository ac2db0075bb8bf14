"""What this machine has, what is missing, and the line that mends it."""

import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from keras_cnn.errors import brief
from keras_cnn.extras import EXTRAS, install_line, missing_modules
from keras_cnn.operating_system import available_memory, cores
from keras_cnn.tensorflow_import import import_tensorflow

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
STEPS = 20  # training steps that are timed

Line = tuple[str, str]  # title and text; the title of a line that belongs to the one before is empty


def machine_lines() -> Iterator[Line]:
    """The lines about software, machine, optional packages and training, each as soon as it is known."""
    yield from _software()
    yield from _machine()
    yield from _optional()
    yield from _training()


def as_text(line: Line) -> str:
    """A line as the terminal shows it."""
    title, text = line
    return f"{title:<15}{text}"


def _software() -> Iterator[Line]:
    yield "Python", f"{platform.python_version()} in {sys.prefix}, {platform.platform()}"
    for name in ("keras_cnn", "tensorflow", "keras"):
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            here = "not installed; it runs from the folder of its source"
            yield name, here if name == "keras_cnn" else "not installed: pip install -r requirements.txt"


def _machine() -> Iterator[Line]:
    from keras_cnn.data.audit import default_cache_dir  # imports NumPy

    yield "cores", f"{len(cores())} for this process"
    yield "memory", f"{available_memory() / 2**30:.1f} GiB available"
    folder = default_cache_dir()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    yield "cache", f"{folder}, with {shutil.disk_usage(existing).free / 2**30:.1f} GiB free"


def _optional() -> Iterator[Line]:
    from keras_cnn.tracking import has_key

    yield "W&B key", "found" if has_key() else "none; runs are recorded offline until: wandb login"
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    yield "Chromium", browser or "not found; only the tests of pages need it"
    for extra, modules in EXTRAS.items():
        missing = missing_modules(modules)
        yield f"extra {extra}", f"{', '.join(missing)} missing: {install_line(extra)}" if missing else "installed"


def _training() -> Iterator[Line]:
    """The lines that need TensorFlow: the GPU, the number format and the time of a step."""
    try:
        import_tensorflow()
        from keras_cnn.training.precision import choose_precision, hardware
    except ImportError as error:
        yield "TensorFlow", f"cannot be imported: {brief(error)}; mend it by: pip install --force-reinstall tensorflow"
        return
    found = hardware()
    yield from gpu_lines()
    fast = "computed in hardware" if found["bfloat16"] else "not computed in hardware"
    yield "bfloat16", f"{fast}; precision auto is {choose_precision('auto', found)}"
    yield "training step", _step_line()


def gpu_lines() -> Iterator[Line]:
    """The GPUs that TensorFlow uses, and whatever keeps one of this machine from being used well."""
    from keras_cnn.training import gpus

    found = gpus.visible_gpus()
    yield "GPU", ", ".join(gpu.name for gpu in found) or "none that TensorFlow uses"
    for line in gpus.problems(found):
        yield "", line


def _step_line() -> str:
    from keras_cnn import config
    from keras_cnn.config.shipped import find_config
    from keras_cnn.loading import BUILDERS
    from keras_cnn.tasks.preparing import prepare
    from keras_cnn.training.experiment import step_seconds

    default = config.load(find_config(Path("default")), [], BUILDERS)
    seconds = step_seconds(default, cast(Any, prepare), STEPS)
    size = default.train.batch_size
    return f"{1000 * seconds:.1f} ms for {size} images with the default network (median of {STEPS})"
