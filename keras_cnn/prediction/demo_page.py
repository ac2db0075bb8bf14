"""The page of `keras-cnn demo`, by Gradio: for this machine alone, without a request to anywhere else."""

import contextlib
import os
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_cnn.data.decoding import MAX_BYTES
from keras_cnn.errors import UsageError
from keras_cnn.messages import logger
from keras_cnn.prediction.classifier import Classifier
from keras_cnn.prediction.demo_answer import answer
from keras_cnn.prediction.predicting import TOP

HOST = "127.0.0.1"


def serve(classifier: Classifier, *, top: int = TOP, port: int | None = None) -> None:
    """Serves the page until Ctrl-C. Raises UsageError if the port is taken."""
    with running(classifier, top=top, port=port) as address:
        logger.info(f"demo        {address}   (on this machine alone; Ctrl-C ends it)")
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(1)


@contextlib.contextmanager
def running(classifier: Classifier, *, top: int = TOP, port: int | None = None) -> Iterator[str]:
    """Serves the page inside the block, by default at the first free port from 7860, and yields its address.

    The pictures that were dropped are deleted at the end. Raises UsageError if the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="keras_cnn-demo-") as folder, _environment(_settings(folder)):
        page = _page(classifier, top)
        try:
            _, address, _ = page.launch(
                server_name=HOST,
                server_port=port,
                share=False,
                prevent_thread_lock=True,
                quiet=True,
                max_file_size=MAX_BYTES,
                footer_links=[],
                run_history=False,
                ssr_mode=False,
                mcp_server=False,
                pwa=False,
                enable_monitoring=False,
            )
        except OSError as error:
            place = "ports 7860 to 7959" if port is None else f"--port {port}"
            raise UsageError(
                f"command line: {place}: cannot be used ({error}); expected --port and a free one"
            ) from None
        try:
            yield address
        finally:
            page.close(verbose=False)


def _settings(folder: str) -> dict[str, str]:
    """Gradio's settings that are environment variables. Its request to itself may not go through a proxy."""
    direct = ",".join(filter(None, [urllib.request.getproxies().get("no"), HOST]))
    return {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": folder,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": direct,
        "no_proxy": direct,
    }


@contextlib.contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _page(classifier: Classifier, top: int) -> Any:
    import gradio  # pyright: ignore[reportMissingImports]  # an extra, which takes seconds to import

    def shown(path: str) -> tuple:
        found = answer(classifier, Path(path), top=top)
        # The first None empties the field, so that the next picture can be dropped there.
        return None, found.words, found.probabilities or None, found.picture, found.overlay, found.verdict

    title = f"{classifier.name}: {len(classifier.classes):,} classes"
    with gradio.Blocks(title=title, analytics_enabled=False) as page:
        dropped = gradio.File(label=f"{title}; drop a picture", height=160, elem_id="dropped")
        words = gradio.Textbox(label="Picture", elem_id="words")
        with gradio.Row():
            with gradio.Column(min_width=300):
                classes = gradio.Label(label="Classes", num_top_classes=top, elem_id="classes")
            pictures = [_picture(gradio, heading) for heading in ("As the network gets it", "Grad-CAM")]
        verdict = gradio.Textbox(label="Sanity checks of Grad-CAM", lines=3, elem_id="verdict")
        outputs = [dropped, words, classes, *pictures, verdict]
        dropped.upload(shown, dropped, outputs, api_visibility="private")
    return page


def _picture(gradio: Any, heading: str) -> Any:
    """A field for a picture, whose heading stands above it and not, as Gradio's own, on its pixels."""
    with gradio.Column(min_width=240):
        gradio.Markdown(heading)
        return gradio.Image(label=heading, show_label=False, interactive=False, buttons=[], format="png")
