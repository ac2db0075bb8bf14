"""What `visualize.py` does: opens a subject, draws one view or all, and says what was found where."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from keras_cnn import views
from keras_cnn.errors import InputError
from keras_cnn.views import opened_detector
from keras_cnn.views.image_stream import Reads, read_ahead
from keras_cnn.views.opened_model import OpenedModel, VisualizeOptions, open_subject
from keras_cnn.views.saving import Drawn

_SHOWN = 12  # images in the figures of `all`: each takes a figure a layer, and some hundred predictions


def visualize(source: str, view: str, asked: VisualizeOptions, options: Mapping[str, object]) -> list[Drawn]:
    """Draws one view of `source`, or with `all` every one, into a folder of its name below `OpenedModel.out`.

    `options` are those of the view; `all` takes none, and gives some views cheaper ones. Raises InputError as the view
    does; with `all`, a view that this subject has nothing for is left out with a line that says why, and the error is
    raised only if none is left.
    """
    if view == "all" and asked.image_count is None and len(asked.images) > _SHOWN:
        print(
            f"note  {_SHOWN} of {len(asked.images)} images in figures, or as many as --image-count says; all measured"
        )
        asked = replace(asked, image_count=_SHOWN)
    subject = open_subject(source, asked)
    for note in subject.notes:
        print(f"note  {note}")
    if view != "all":
        return _drawn(subject, view, options)
    drawn: list[Drawn] = []
    refused: list[InputError] = []
    for name, found in every_view(subject):
        if isinstance(found, InputError):
            print(f"{name}: left out: {found}")
            refused.append(found)
        else:
            drawn += found
    if not drawn and refused:
        raise refused[0]
    return drawn


def every_view(subject: OpenedModel) -> Iterator[tuple[str, list[Drawn] | InputError]]:
    """Draws the views one after the other, after all that they read was read at once; of one that cannot be, why."""
    read_ahead(subject, _reads(subject))
    for name in views.VIEWS:
        try:
            found = _drawn(subject, name, views.options_in_all(name))
        except InputError as error:
            found = error
        yield name, found


def _reads(subject: OpenedModel) -> list[Reads]:
    """What the views will read. One that has nothing to read says so when it is drawn."""
    found = []
    for reads in filter(None, map(views.reads, views.VIEWS)):
        with suppress(InputError):
            found.append(reads(subject))
    return found


def _drawn(subject: OpenedModel, view: str, options: Mapping[str, object]) -> list[Drawn]:
    draw = views.find(view)
    opened_detector.check(subject, view)
    out = subject.out / view
    with _folder(out):
        drawn = draw(subject, out, **options)
    for one in drawn:
        print(f"{one.figure}   {one.line}")
    return drawn


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """A folder that is there, and is not any more if it was made for nothing."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot make the folder: {error.strerror}") from None
    try:
        yield
    finally:
        for folder in made:
            if not any(folder.iterdir()):
                folder.rmdir()
