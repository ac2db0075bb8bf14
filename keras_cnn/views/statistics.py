"""`statistics`: how many values of each layer are not positive, and how many directions the features use."""

from pathlib import Path

import numpy as np

from keras_cnn import data
from keras_cnn.errors import require
from keras_cnn.figures.features import sparsity as sparsity_figure
from keras_cnn.figures.features import spectra as spectra_figure
from keras_cnn.views.image_stream import Reads, SplitName, Stream, Wanted, measured, stream, stream_of
from keras_cnn.views.opened_model import OpenedModel, VisualizeOptions, open_subject
from keras_cnn.views.saving import Drawn, keep
from keras_cnn.visualization.embedding import penultimate
from keras_cnn.visualization.statistics import Features, NotPositive, Reduction, Sparsity, spectrum

MOST = 200
_MOST_SERIES = 6
_LISTED = 8  # layers on the terminal


def draw(
    subject: OpenedModel,
    out: Path,
    *,
    layer: tuple[str, ...] = (),
    point: str | None = None,
    reduction: Reduction = "pooled",
    most: int = MOST,
    against: tuple[str, ...] = (),
    images_of: tuple[str, ...] = (),
    split: SplitName = "validation",
) -> list[Drawn]:
    """Shares of non-positive values by layer, and eigenvalues of the covariance of the features, with intervals.

    Options:
        layer: layers whose values are counted; by default what follows each convolution's activation
        point: layer whose features' covariance is taken; by default before the class scores, or the last map
        reduction: pooled (means over the map) or flattened
        most: images of each set
        against: other runs, model files or backbones, for the same images
        images_of: other sources of images, such as folder:PATH, for the same networks
        split: which images of the run: validation, train or test; a reading of test images is recorded
    """
    require(most >= 2, "command line: --most", f"found {most}", "at least 2")
    subjects = [subject, *(open_subject(name, VisualizeOptions()) for name in against)]
    count = len(subjects) * (1 + len(images_of))
    where = "command line: --against and --images-of"
    require(count <= _MOST_SERIES, where, f"{count} pairs of network and images", f"at most {_MOST_SERIES}")
    drawn, series, arrays = [], {}, {}
    for one, label in zip(subjects, _labels(subjects), strict=True):
        shares: dict[str, list[Sparsity]] = {}
        layers = list(layer) or _activated(one)
        for name, images in _sets(subject, one, images_of, split, most).items():
            shares[name], values = measured(one, _wanted(one, images, layers, point, reduction))
            found = spectrum(values)
            rank, (low, high) = found.effective_rank, found.effective_rank_interval
            key = f"{label} on {name}: effective rank {rank:.1f} [{low:.1f}, {high:.1f}] of {found.dimensions}"
            series[key] = (found.eigenvalues, found.band)
            arrays[f"eigenvalues {len(series)}"], arrays[f"band {len(series)}"] = series[key]
        drawn.append(_shares(label, out, layers, shares))
    read = list(dict.fromkeys(_point(one, point) for one in subjects))
    what = read[0] if len(read) == 1 else "each network's last features"
    title = f"Covariance of {what}, {reduction}: eigenvalues, the largest first"
    figure = spectra_figure(series, title)
    arrays["series"] = list(series)
    return [*drawn, keep(out, "statistics-spectra", figure, arrays, "; ".join(series))]


def reads(subject: OpenedModel) -> Reads:
    images = stream(subject, "statistics", "validation", MOST)
    return Reads(measured=_wanted(subject, images, _activated(subject), None, "pooled"))


def _wanted(subject: OpenedModel, images: Stream, layers: list[str], point: str | None, reduction: Reduction) -> Wanted:
    return [
        (images, NotPositive(subject.probe, layers)),
        (images, Features(_point(subject, point), reduction)),
    ]


def _sets(
    first: OpenedModel, subject: OpenedModel, sources: tuple[str, ...], split: SplitName, most: int
) -> dict[str, Stream]:
    """Name -> images: those of the first subject, and of the other sources, in the size of this subject."""
    shape = subject.probe.input_shape
    found = stream(subject, "statistics", split, most, of=first)
    sets = {found.words: found}
    for name in sources:
        dataset = data.load(name, image_size=shape[:2], channels=shape[2])
        other = stream_of(subject, dataset.validation, most, f"images of {name}")
        sets[other.words] = other
    return sets


def _activated(subject: OpenedModel) -> list[str]:
    return [block.activated or block.before_activation for block in subject.probe.convolutions]


def _point(subject: OpenedModel, point: str | None) -> str:
    if point is not None:
        return point
    return penultimate(subject.probe) if subject.is_classifier else subject.probe.output().name


def _labels(subjects: list[OpenedModel]) -> list[str]:
    """Their names; of networks with one name the second is NAME #2."""
    names = [one.name for one in subjects]
    before = [names[:place].count(name) for place, name in enumerate(names)]
    return [f"{name} #{times + 1}" if times else name for name, times in zip(names, before, strict=True)]


def _shares(network: str, out: Path, layers: list[str], shares: dict[str, list[Sparsity]]) -> Drawn:
    series = {name: np.array([(s.share, *s.interval) for s in found]) for name, found in shares.items()}
    figure = sparsity_figure(layers, series, f"{network}: values that are not above 0")
    arrays = {"layers": layers, "series": list(series), "shares": np.stack(list(series.values()))}
    return keep(
        out,
        f"statistics-sparsity-{network}",
        figure,
        arrays,
        "; ".join(_line(name, found) for name, found in shares.items()),
    )


def _line(name: str, found: list[Sparsity]) -> str:
    """The share of each of a few layers; of many the least and the largest."""
    shown = found if len(found) <= _LISTED else sorted(found, key=lambda one: one.share)[:: len(found) - 1]
    listed = (" to " if len(found) > _LISTED else ", ").join(f"{one.layer} {100 * one.share:.1f} %" for one in shown)
    return f"{name}: {listed}"
