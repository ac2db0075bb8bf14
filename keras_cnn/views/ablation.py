"""`ablation`: what the network loses with some of its filters, beside what it loses with as many random ones."""

from pathlib import Path, PurePosixPath

import numpy as np

from keras_cnn.errors import UsageError, require
from keras_cnn.figures.ablation import against_random, beside_published
from keras_cnn.figures.comparison import class_differences
from keras_cnn.figures.confusion import confusion, confusion_difference
from keras_cnn.figures.sheets import image_sheet
from keras_cnn.run_folder import write_json, write_text
from keras_cnn.views import published_ablation
from keras_cnn.views.image_stream import Reads, SplitName, Stream, known, stream
from keras_cnn.views.opened_model import OpenedModel
from keras_cnn.views.published_ablation import Beside
from keras_cnn.views.saving import Drawn, keep
from keras_cnn.visualization.ablation import CONTROLS, Ablation, ablate
from keras_cnn.visualization.statistics import Features

# Options of the view where all are drawn. Of the 304 seconds that all views of a net4 took on 5,000 images, this view
# took 106: every image is predicted six times more.
IN_ALL = {"most": 2500}
_SHEET, _COLUMNS = 24, 6


def draw(
    subject: OpenedModel,
    out: Path,
    *,
    filters: tuple[str, ...] = (),
    silent: bool = False,
    controls: int = CONTROLS,
    seed: int = 0,
    most: int | None = None,
    split: SplitName = "validation",
) -> list[Drawn]:
    """Accuracy by class, confusion matrices, images newly wrong, and the random choices; ablation.json has the numbers.

    Of a run whose config names a publication with an ablation, the published table stands beside the measured one.

    Options:
        filters: LAYER:NUMBER of each filter set to zero; by default the first two of the first five convolutions
        silent: set gamma and beta of the batch norm behind to zero too, which otherwise makes a constant of the zeros
        controls: how many random choices of as many filters of the same layers stand beside it
        seed: of these random choices
        most: images, at even distances in the split; default all, and with the view `all` 2,500
        split: which images of the run: validation, train or test; a reading of test images is recorded
    """
    require(controls >= 0, "command line: --controls", f"found {controls}", "at least 0")
    require(most is None or most >= 1, "command line: --most", f"found {most}", "at least 1")
    images = stream(subject, "ablation", split, most)
    require(subject.classes is not None, f"{subject.name}: ablation", "class names that are not known", "a run")
    require(bool((images.labels >= 0).all()), f"{subject.name}: ablation", "images without a true class", "a run's own")
    chosen = _parsed(filters) if filters else None
    found = ablate(
        subject.probe,
        images,
        subject.classes,
        chosen,
        ids=images.ids,
        silent=silent,
        controls=controls,
        seed=seed,
        scores=known(subject, *_before(subject, images)),
    )
    beside = published_ablation.beside(subject, found, split)
    told = {} if beside is None else {"published": beside.as_json()}
    write_json(out / "ablation.json", {"of": images.words, **found.as_json(), **told})
    drawn = _drawn(subject, out, images, found)
    return drawn if beside is None else [*drawn, _beside(subject, out, images, beside)]


def reads(subject: OpenedModel) -> Reads:
    """The scores before, which other views read too; alone the view predicts them as it does those after."""
    images = stream(subject, "ablation", "validation", **IN_ALL)
    return Reads(measured=[_before(subject, images)] if subject.classes else [])


def _before(subject: OpenedModel, images: Stream) -> tuple[Stream, Features]:
    return images, Features(subject.head.point)


def _drawn(subject: OpenedModel, out: Path, images: Stream, found: Ablation) -> list[Drawn]:
    classes, result = subject.classes, found.comparison
    count = sum(len(chosen) for chosen in found.filters.values())
    zeroed = f"{subject.name}, {count} filters at zero, {images.words}"
    changes = result.per_class.values()
    before, after = (np.array([_share(getattr(c, name)) for c in changes]) for name in ("before", "after"))
    intervals = np.array([c.difference_interval or (np.nan, np.nan) for c in changes])
    overall = result.overall
    low, high = (100 * end for end in overall.difference_interval)
    words = f"{100 * overall.before:.2f} % before, {100 * overall.after:.2f} % after"
    line = f"{words}: {100 * overall.difference:+.2f} points [{low:+.2f}, {high:+.2f}], exact McNemar p {overall.p:.2g}"
    arrays = {"classes": classes, "before": before, "after": after, "intervals": intervals}
    drawn = [keep(out, "ablation-classes", class_differences(classes, before, after, intervals, zeroed), arrays, line)]
    for name, matrix in (("before", result.confusion_before), ("after", result.confusion_after)):
        figure = confusion(matrix, classes, f"{subject.name} {name} the ablation, {images.words}")
        arrays = {"classes": classes, "confusion": matrix}
        drawn.append(keep(out, f"ablation-confusion-{name}", figure, arrays, f"{np.trace(matrix):,} images right"))
    difference = result.confusion_difference
    figure = confusion_difference(difference, classes, f"{subject.name}: after the ablation minus before")
    line = f"{len(result.newly_wrong):,} images newly wrong, {len(result.newly_right):,} newly right"
    arrays = {"classes": classes, "confusion": difference}
    drawn.append(keep(out, "ablation-confusion-difference", figure, arrays, line))
    drawn.append(_sheet(subject, out, images, found))
    if found.controls:
        drawn.append(_controls(subject, out, found))
    return drawn


def _beside(subject: OpenedModel, out: Path, images: Stream, found: Beside) -> Drawn:
    """The published table beside the measured one, as figure and as CSV."""
    write_text(out / "ablation-published_ablation.csv", found.csv())
    rows, table = found.rows, found.table
    names = [row.name for row in rows]
    columns = {name: np.array([getattr(row, name) for row in rows]) for name in ("published", "measured", "interval")}
    title = f"{subject.name}, {images.words}: the ablation beside that of {table.source}"
    note = "\n".join([f"Not the same: {'; '.join(found.hindrances)}.", f"Published: {'; '.join(table.caveats)}."])
    figure = beside_published(names, *columns.values(), title, note)
    return keep(out, "ablation-published", figure, {"names": names, **columns}, "\n".join(found.lines()))


def _sheet(subject: OpenedModel, out: Path, images: Stream, found: Ablation) -> Drawn:
    wrong = found.comparison.newly_wrong
    shown = wrong[np.unique(np.linspace(0, len(wrong) - 1, min(_SHEET, len(wrong))).astype(int))]
    after = found.predicted[shown]
    captions = [
        f"{PurePosixPath(images.ids[i]).name}\nis {subject.classes[images.labels[i]]}\nnow {subject.classes[guess]}"
        for i, guess in zip(shown, after, strict=True)
    ]
    title = f"{subject.name}: right before, wrong after; {len(shown)} of {len(wrong):,}"
    pixels = images.pixels(shown)
    figure = image_sheet(pixels, captions, _COLUMNS, title)
    arrays = {"images": pixels, "numbers": wrong}
    return keep(out, "ablation-newly-wrong", figure, arrays, f"{len(wrong):,} such images")


def _controls(subject: OpenedModel, out: Path, found: Ablation) -> Drawn:
    overall = found.comparison.overall
    random = [control.comparison.overall for control in found.controls]
    names = [f"random {number}" for number in range(1, len(random) + 1)]
    differences, intervals = [c.difference for c in random], [c.difference_interval for c in random]
    count = sum(len(chosen) for chosen in found.filters.values())
    title = f"{subject.name}: the {count} chosen filters at zero, and {count} random ones of the same layers"
    figure = against_random(overall.difference, overall.difference_interval, differences, intervals, names, title)
    arrays = {"chosen": overall.difference, "random": differences, "intervals": intervals}
    line = f"as bad or worse: {sum(d <= overall.difference for d in differences)} of {len(random)} random choices"
    return keep(out, "ablation-controls", figure, arrays, f"{line}, one-sided p {found.rank_p:.2g}")


def _parsed(texts: tuple[str, ...]) -> dict[str, list[int]]:
    chosen: dict[str, list[int]] = {}
    for text in texts:
        layer, colon, number = text.rpartition(":")
        if not colon or not number.isdecimal():
            raise UsageError(f"command line: --filters {text}: expected LAYER:NUMBER, such as conv1:0")
        chosen.setdefault(layer, []).append(int(number))
    return chosen


def _share(value: float | None) -> float:
    return np.nan if value is None else value
