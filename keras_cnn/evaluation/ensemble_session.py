"""The steps of `python evaluate.py RUN RUN-2 --ensemble` and `--soup`, in their order."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_cnn.errors import InputError, require
from keras_cnn.evaluation import gallery, tables
from keras_cnn.evaluation.ensembles import Ensemble, EnsembleMember, Kind, ensemble_of, member_of
from keras_cnn.evaluation.evaluations import write
from keras_cnn.evaluation.kinds import measure
from keras_cnn.evaluation.results_folder import check_writable, replacing_folder
from keras_cnn.evaluation.soups import require_one_start, soup_of
from keras_cnn.evaluation.target import EvaluateOptions, EvaluationTarget, open_target
from keras_cnn.messages import counted, logger
from keras_cnn.models.class_names import save_with_classes
from keras_cnn.run_folder import record_test_reading, shell_command, write_json
from keras_cnn.run_folder.record import Record, read_record

FOLDER, SOUP = "ensembles", "soup.keras"  # in the first run


@dataclass(frozen=True)
class MeasuredEnsemble:
    """An ensemble or a soup with the folder of its results."""

    ensemble: Ensemble
    folder: Path


def evaluate_ensemble(paths: Sequence[Path], options: EvaluateOptions, kind: Kind) -> MeasuredEnsemble:
    """Measures an ensemble or a soup of runs beside the best single run, and shows and writes the results.

    Every run reads the images once, which is counted in its folder. Raises InputError, before any image is read, for
    fewer than two runs and for runs of different classes or images; for a soup, of different starts.
    """
    records = _records(paths, options)
    if kind == "soup":
        require_one_start(records)
    for path in paths:
        check_writable(path)
    targets = [open_target(path, options) for path in paths]
    one_device = kind == "ensemble" or targets[0].replicas.count == 1
    require(one_device, "--devices", f"found {options.devices} with --soup", "one device")
    members = _members(targets, options)
    model = None
    if kind == "soup":
        ensemble, model = soup_of(targets, members)
    else:
        ensemble = ensemble_of(members)
    folder = paths[0] / FOLDER / _name(paths, options, kind)
    with replacing_folder(folder, paths[0]) as staged:
        title = f"{kind} of {counted(len(ensemble.averaged), 'run')}, {options.name}"
        gallery.draw(ensemble.evaluation, staged / "figures", title)
        gallery.draw_comparison(ensemble.comparison, ensemble.evaluation, staged / "figures", title)
        write_json(staged / "comparison.json", ensemble.comparison.as_json())
        if model is not None:
            save_with_classes(model, staged / SOUP, ensemble.evaluation.classes)
        write(ensemble.evaluation, staged, {"ensemble": ensemble.as_json(), "images_of": options.name})
    for line in _lines(ensemble, options):
        logger.info(line)
    logger.info(f"written     {folder}   (with figures)")
    if model is not None:
        logger.info(f"next        {shell_command('predict', folder / SOUP, 'PHOTOS')}")
    return MeasuredEnsemble(ensemble, folder)


def _records(paths: Sequence[Path], options: EvaluateOptions) -> list[Record]:
    """The records of the runs. InputError unless there are several, of the same classes and images."""
    distinct = {path.resolve() for path in paths}
    names = ", ".join(map(str, paths))
    require(len(distinct) == len(paths) > 1, "command line", f"found {names}", "two or more different runs to average")
    records = [read_record(path) for path in paths]
    for record in records:
        found = "found images that may have several labels"
        require(not record.several_labels, str(record.path), found, "one class an image to average runs")
    first, split = records[0], options.split or "test"
    for record in records[1:]:
        own, expected = record.split.get("classes"), first.split.get("classes")
        require(own == expected, str(record.path), f"found the classes {own}", f"{expected}, as {first.path} has")
        if options.source is None:
            ids, others = set(record.ids_of(split) or ()), set(first.ids_of(split) or ())
            found = f"found {len(ids - others):,} {split} images that {first.path} does not have"
            require(ids == others, str(record.path), found, f"the same {split} images (or evaluate with --source)")
        if options.scale:
            same = record.ids_of("validation") == first.ids_of("validation")
            found = f"found other validation images in {record.path} than in {first.path}"
            require(same, "--temperature", found, "the same, to fit one temperature for all")
    return records


def _members(targets: Sequence[EvaluationTarget], options: EvaluateOptions) -> list[EnsembleMember]:
    """The runs, each evaluated; they share the first one's images, also for validation where those are the same."""
    members: list[EnsembleMember] = []
    for target in targets:
        if options.reads_test:
            record_test_reading(target.folder, options.source or "test split")
        evaluation = measure(target, options)
        member = member_of(target.name, target.folder.path, evaluation)
        members.append(_on_images_of(members[0], member) if members else member)
    return members


def _on_images_of(first: EnsembleMember, member: EnsembleMember) -> EnsembleMember:
    dataset, own = first.evaluation.dataset, member.evaluation
    if own.images.ids != first.evaluation.images.ids or not np.array_equal(
        own.images.labels, first.evaluation.images.labels
    ):
        raise InputError(
            f"{member.path}: other images, or another order of them, than {first.path}; expected the same source"
        )
    same = own.dataset.validation.ids == dataset.validation.ids
    logits = own.validation_logits if same else None
    return replace(member, evaluation=replace(own, dataset=dataset, validation_logits=logits))


def _name(paths: Sequence[Path], options: EvaluateOptions, kind: Kind) -> str:
    """The folder's name, which differs for other runs and other images."""
    digest = hashlib.sha256("\n".join(sorted(str(path.resolve()) for path in paths)).encode("utf-8", "surrogateescape"))
    return f"{options.name}-{kind}-of-{len(paths)}-{digest.hexdigest()[:6]}"


def _lines(ensemble: Ensemble, options: EvaluateOptions) -> Iterator[str]:
    yield from tables.members(ensemble.as_json())
    yield ""
    yield f"{ensemble.kind:<12}{_what(ensemble)}"
    metrics = ensemble.evaluation.metrics
    yield from tables.evaluation(metrics) if options.full else tables.brief(metrics)
    yield ""
    compared, name = ensemble.comparison, f"the {ensemble.kind}"
    yield from tables.comparison(compared, ensemble.best.name, name)


def _what(ensemble: Ensemble) -> str:
    count = len(ensemble.averaged)
    if ensemble.kind == "ensemble":
        return f"mean probability of {counted(count, 'run')}"
    if count == 1:
        return "the best single run alone: no average was as accurate on the validation images"
    return f"mean weights of {count} of {counted(len(ensemble.members), 'run')}, chosen on the validation images"
