"""What every run of the library has: its folder, options, history and numbers, and the views of its network."""

import html
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from keras_cnn.api.calls import public
from keras_cnn.api.looking import CLASSES, Figures, Images, view_of
from keras_cnn.models.model_files import load_model
from keras_cnn.run_folder import RunFolder
from keras_cnn.run_folder.record import Record, read_record
from keras_cnn.views.support.opened_model import OpenedModel, VisualizeOptions
from keras_cnn.views.support.opening import open_source


class RecordedRun:
    """The run in a folder, finished or not. Raises InputError for a folder that is not that of a run."""

    def __init__(self, path: str | Path):
        self.path = RunFolder.open(Path(path)).path

    @cached_property
    def _record(self) -> Record:
        return read_record(self.path)

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self._record.name

    @property
    def finished(self) -> bool:
        """Whether the run is complete."""
        return self._record.finished

    @property
    def config(self) -> dict[str, Any]:
        """The options of the run by dotted name."""
        return dict(self._record.config)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the model's outputs."""
        return tuple(self._record.split.get("classes") or ())

    @property
    def history(self) -> pd.DataFrame:
        """A row for each epoch by its number, with the columns of history.csv; times are in seconds."""
        rows = pd.DataFrame(list(self._record.history))
        return rows.set_index("epoch") if len(rows) else rows

    @property
    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json: the test split's numbers with 95 % intervals; {} for an unfinished run."""
        return dict(self._record.metrics)

    @cached_property
    def model(self) -> keras.Model:
        """The best model, which takes images `(N, H, W, C)` of 0 to 255."""
        model = load_model(self.path / "model.keras")
        CLASSES[model] = self.classes
        return model

    @cached_property
    def _opened(self) -> OpenedModel:
        return open_source(str(self.path), VisualizeOptions())

    @public
    def view(self, name: str, images: Images = None, *, verbose: bool = False, **options: Any) -> Figures:
        """Any view of `keras-cnn visualize`, such as ablation, statistics or embedding, with its options as keywords.

        >>> run.view("receptive-field")
        <Figures: ...>
        ...

        `images` are files or uint8 arrays; by default four of the validation split, or `image_count=N` of it. The
        figures are kept in the run folder. "all" draws every view that fits the network. Raises InputError for an
        unknown view or option, with the nearest one.
        """
        return view_of(self._opened, name, images, options, verbose)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}: {self._result()}; {len(self.classes)} classes>"

    def _result(self) -> str:
        """The main number of a finished run, or how far it has come, in words."""
        raise NotImplementedError

    def _progress(self) -> str:
        return f"{len(self._record.history)} of {self.config.get('train.epochs')} epochs"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.history._repr_html_()}"  # pyright: ignore[reportCallIssue]
