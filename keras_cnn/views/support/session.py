"""A session of `visualize.py`: opens a network, draws one view or all views, and reports the findings and files."""

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from keras_cnn import views
from keras_cnn.errors import InputError
from keras_cnn.messages import logger
from keras_cnn.run_folder.drawn_views import record_view
from keras_cnn.views.support.image_stream import PlannedReads, read_ahead
from keras_cnn.views.support.index_page import write_index
from keras_cnn.views.support.opened_detector import OpenedDetector
from keras_cnn.views.support.opened_model import OpenedModel, VisualizeOptions
from keras_cnn.views.support.opening import open_source
from keras_cnn.views.support.saving import SavedFigure

_SHOWN = 12  # images in the figures of `all`: each takes a figure per layer and several hundred predictions


def visualize(source: str, chosen: Mapping[str, Mapping[str, object]], shared: VisualizeOptions) -> list[SavedFigure]:
    """Draws views of `source`, or every view for `all`, each into a folder of its name below `OpenedModel.out`.

    `chosen` has the options of each view by its name; `all` takes none, and gives some views cheaper ones. Raises the
    InputError of the view. With `all`, a view that cannot be drawn for this network is left out with its reason, and
    its error is raised only if no view can be drawn.
    """
    if "all" in chosen and shared.image_count is None and len(shared.images) > _SHOWN:
        shown = f"{_SHOWN} of {len(shared.images)} images in figures, or as many as --image-count says"
        logger.info("note  %s; all images are measured", shown)
        shared = replace(shared, image_count=_SHOWN)
    opened = open_source(source, shared)
    for note in opened.notes:
        logger.info("note  %s", note)
    if "all" not in chosen:
        drawn = [draw_view(opened, views.find(name), options) for name, options in chosen.items()]
        write_index(opened.out, opened.name)
        return [figure for figures in drawn for figure in figures]
    return draw_every_view(opened)


def draw_every_view(opened: OpenedModel) -> list[SavedFigure]:
    """Draws all views, and logs which cannot be drawn for this network. Raises the first InputError if none can be."""
    figures: list[SavedFigure] = []
    errors: list[InputError] = []
    left_out: dict[str, str] = {}
    for name, result in every_view(opened):
        if isinstance(result, InputError):
            logger.info("%s: left out: %s", name, result)
            errors.append(result)
            left_out[name] = str(result)
        else:
            figures += result
    if not figures and errors:
        raise errors[0]
    for name, reason in left_out.items():
        record_view(opened.out, name, views.VIEWS[name].summary, {}, left_out=reason)
    logger.info("%s   every figure on one page", write_index(opened.out, opened.name))
    return figures


def every_view(opened: OpenedModel) -> Iterator[tuple[str, list[SavedFigure] | InputError]]:
    """Draws all views after reading their images in as few passes as possible; an error replaces a view's figures."""
    read_ahead(opened, _planned_reads(opened))
    for name, view in views.VIEWS.items():
        try:
            result = draw_view(opened, view, view.options_in_all)
        except InputError as error:
            result = error
        yield name, result


def _planned_reads(opened: OpenedModel) -> list[PlannedReads]:
    """What the views will read. A view that cannot read reports the error when it is drawn."""
    planned = []
    for reads in (view.reads for view in views.VIEWS.values()):
        with suppress(InputError):
            planned += [reads(opened)] if reads else []
    return planned


def draw_view(opened: OpenedModel, view: views.View, options: Mapping[str, object]) -> list[SavedFigure]:
    """Draws one view into its folder below `OpenedModel.out`, and logs a line for each figure."""
    if view.needs_classifier and isinstance(opened, OpenedDetector):
        words = f"{view.name} needs a classifier, and this is a detector; see attribution --box"
        raise InputError(f"{opened.name}: {words}")
    out = opened.out / view.name
    with _folder(out):
        figures = view.draw(opened, out, **options)
    lines = {saved.figure.name: (saved.line, *saved.table) for saved in figures}
    record_view(opened.out, view.name, view.summary, lines)
    for saved in figures:
        logger.info("%s   %s", saved.figure, saved.line)
        for line in saved.table:
            logger.info("%s", line)
    return figures


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Makes a folder, and removes what it made if nothing was written there."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            error.add_note("--out DIR writes the figures elsewhere")
        raise
    finally:
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
