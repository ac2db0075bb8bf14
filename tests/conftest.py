import gc
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keras_cnn.messages import logger, show_messages
from keras_cnn.tensorflow_import import set_environment
from tests.fork_server import ForkServer

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("WANDB_MODE", "offline")
set_environment()  # also where a test imports TensorFlow before the package does
# Threads of OpenMP that wait for each other sleep: spinning, they took ten times as long beside other test processes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# The test processes share the cores; more threads in each of them take a tenth more of the processor's time.
for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(name, "1")

# TensorFlow leaves millions of objects that live to the end; to look through them at the usual intervals takes 7 % of
# the suite's time.
gc.set_threshold(200_000, 50, 100)


# Files that wait for programs: they begin first, because one of them that began last would run alone.
BEGIN_FIRST = ["test_faults.py", "test_local.py", "test_resume.py", "test_compare.py", "test_resume_finetuning.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in BEGIN_FIRST)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A test file that cannot be imported ends the run at its beginning; xdist alone would say so after all others."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.exit(f"{report.nodeid} cannot be collected:\n{report.longreprtext}", returncode=2)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real images and published weights that may not be shipped; tests that need it skip without it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real test data not found at {folder}")
    return folder


@pytest.fixture(scope="session")
def published_weights() -> Path:
    """Folder with published weights that may not be shipped; tests that need it skip without it."""
    folder = Path(os.environ.get("KERAS_CNN_WEIGHTS") or Path(__file__).resolve().parents[2] / "cache" / "weights")
    if not (folder / ".complete").exists():
        pytest.skip(f"no published weights in {folder}; KERAS_CNN_WEIGHTS names another folder")
    return folder


@pytest.fixture(autouse=True, scope="session")
def messages_on_standard_output():
    """Messages go where capsys sees them, as in a program."""
    show_messages()


@contextmanager
def collected_messages() -> Iterator[list[str]]:
    """The package's messages, in order, as they come inside the block."""
    texts: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: texts.append(record.getMessage())
    logger.addHandler(handler)
    try:
        yield texts
    finally:
        logger.removeHandler(handler)


@pytest.fixture
def messages() -> Iterator[list[str]]:
    with collected_messages() as texts:
        yield texts


@pytest.fixture(scope="module")
def module_messages() -> Iterator[list[str]]:
    """The same for fixtures that a module's tests share."""
    with collected_messages() as texts:
        yield texts


@pytest.fixture(autouse=True, scope="module")
def float32_afterwards():
    """A module that trains sets the number format of its process, which it may share with the next one."""
    yield
    if keras := sys.modules.get("keras"):
        keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """Runs programs in new processes that need not import TensorFlow."""
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture
def read_only() -> Callable:
    """A context in which nobody can write into a folder. Root ignores modes, so for root it is mounted read-only."""

    @contextmanager
    def context(folder: Path) -> Iterator[None]:
        if os.geteuid():
            folder.chmod(0o555)
            leave = lambda: folder.chmod(0o755)  # noqa: E731
        elif subprocess.run(["mount", "--bind", folder, folder], capture_output=True).returncode:
            pytest.skip("root can write everywhere, and cannot mount here")
        else:
            leave = lambda: subprocess.run(["umount", folder], check=True)  # noqa: E731
            subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        try:
            yield
        finally:
            leave()

    return context


SEVERAL = """
import contextlib, io, json, sys
from keras_cnn.cli import program, train
exec(sys.argv[1])
answers = []
for arguments in json.loads(sys.stdin.read()):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = program.run(train.main, arguments)
    answers.append({"status": status, "out": out.getvalue(), "err": err.getvalue()})
json.dump(answers, sys.stdout)
"""


@pytest.fixture(scope="session")
def train_several(fork_server) -> Callable[..., dict[str, dict]]:
    """Runs named command lines of train.py one after the other in one new process.

    (folder to run in, {name: arguments}, code to run first) -> {name: {"status": int, "out": text, "err": text}}
    """

    def run(folder: Path, lines: dict[str, list], first: str = "") -> dict[str, dict]:
        text = json.dumps([list(map(str, line)) for line in lines.values()])
        done = fork_server.run(SEVERAL, first, folder=folder, given=text)
        assert done.returncode == 0, done.stderr
        return dict(zip(lines, json.loads(done.stdout), strict=True))

    return run


@pytest.fixture
def rendered(tmp_path) -> Callable:
    """Saves a figure and gives the pixels of the file: (H, W, 3) uint8."""
    import numpy as np
    from PIL import Image

    from keras_cnn.figures import style

    def render(figure):
        style.save(figure, tmp_path / "figure.png")
        with Image.open(tmp_path / "figure.png") as image:
            return np.asarray(image.convert("RGB"))

    return render


@pytest.fixture
def check_nothing_cut(rendered) -> Callable:
    """Fails where a part of the figure lies outside its canvas or on a text, or ink touches the edge of the picture.

    Below each other, the parts leave no gap of more than three quarters of an inch.
    """
    import numpy as np

    from keras_cnn.figures import style

    def check(figure) -> None:
        width, height = figure.get_size_inches()
        texts = [text.get_window_extent() for text in figure.texts if text.get_text()]
        parts = [part.get_window_extent() for part in (*figure.axes, *figure.artists)]
        for number, text in enumerate(texts):
            for other in (*texts[:number], *parts):
                over = [min(a, b) for a, b in zip(text.max, other.max, strict=True)]
                under = [max(a, b) for a, b in zip(text.min, other.min, strict=True)]
                assert min(np.subtract(over, under)) < 2, (text, other)
        seen = [*texts, *(axes.get_tightbbox() for axes in figure.axes)]
        seen += [part.get_window_extent() for part in (*figure.artists, *figure.legends)]
        ends = sorted((part.y0, part.y1) for part in seen)
        highest = np.maximum.accumulate([0, *(end for _, end in ends)])
        gaps = np.append([start for start, _ in ends], figure.bbox.height) - highest
        assert max(gaps) <= 0.75 * style.DPI, gaps
        box = figure.get_tightbbox()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
        pixels = rendered(figure)
        assert pixels.shape[:2] == tuple(int(round(side * style.DPI, 6)) for side in (height, width))
        assert min(edge.min() for edge in (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:])) == 255

    return check


@pytest.fixture
def sweep_of(tmp_path) -> Callable:
    """The study of a sweep file given as text, in `tmp_path/sweep`, over the defaults; keywords of Study.create."""
    from keras_cnn.sweeps import sweep_file
    from keras_cnn.sweeps.study import Study

    def make(text: str, seed: int = 1, folder: Path | None = None, base: str = "", **settings):
        folder = folder or tmp_path / "sweep"
        folder.mkdir(parents=True)
        file = tmp_path / "given.yaml"
        file.write_text(text)
        return Study.create(folder, sweep_file.read_sweep(file), base, seed, **settings)

    return make


@pytest.fixture(scope="session")
def tiny(published_weights) -> tuple[Path, Path, Path]:
    """cfg, weights and names of the real YOLOv3-tiny."""
    cfg, weights, names = (published_weights / n for n in ("yolov3-tiny.cfg", "yolov3-tiny.weights", "coco.names"))
    return cfg, weights, names


@pytest.fixture(scope="session")
def small_cfg() -> Path:
    """A network of seven convolutions with two heads, of strides 16 and 8."""
    return Path(__file__).with_name("small.cfg")


@pytest.fixture(scope="session")
def darknet() -> Callable[[list[dict]], list]:
    """Jobs for `darknet_witness.py` to its answers."""
    if not Path("/usr/lib/darknet/libdarknet.so").exists():
        pytest.skip("Debian's package darknet is not installed")

    def ask(jobs: list[dict]) -> list:
        command = [sys.executable, str(Path(__file__).resolve().parent / "detection" / "darknet_witness.py")]
        done = subprocess.run(command, input=json.dumps(jobs), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask
