"""The checks of the protocol audit. Each check yields verdicts on the facts about a result."""

import math
from collections.abc import Callable, Iterator

from keras_cnn.evaluation.facts import ClassAccuracies, Protocol, Quoted
from keras_cnn.evaluation.intervals import wilson

INVALIDATES = "invalidates"  # the number does not measure what it is quoted as
WEAKENS = "weakens"  # the number is too high, too low or less certain than it appears
NOTE = "note"  # worth knowing; the number is valid
PASSED = "passed"
UNKNOWN = "unknown"
SEVERITIES = (INVALIDATES, WEAKENS, NOTE)  # of flaws, the worst first

_EXACT = 1e-9  # rounding error of float64 sums of the same numbers in another order

Verdict = tuple[str, str, tuple[str, ...]]  # severity, sentence, evidence


def _chosen_on_test(facts: Protocol, thing: str) -> Iterator[Verdict]:
    chosen, tried = getattr(facts, f"{thing}_chosen_on"), getattr(facts, f"{thing}s")
    shown = _evidence(facts, f"{thing}_chosen_on", f"{thing}s")
    if tried == 1:
        yield PASSED, f"There was only one {thing}, so none had to be chosen.", shown
    elif chosen is None:
        yield _not_checked(f"on which images the {thing} was chosen is not known", shown)
    elif chosen == "test":
        best_of = f"the best of {tried:,}" if tried else "the best of several"
        yield (
            INVALIDATES,
            f"The {thing} was chosen by its accuracy on the test images, so this accuracy is {best_of} on these images"
            " and too high for new ones.",
            shown,
        )
    elif chosen == "nothing":
        yield PASSED, f"The {thing} was not chosen by any result.", shown
    else:
        yield PASSED, f"The {thing} was chosen on the {chosen} images; the test images were not used for it.", shown


def _best_quoted(facts: Protocol, thing: str) -> Iterator[Verdict]:
    chosen, tried, split = getattr(facts, f"{thing}_chosen_on"), getattr(facts, f"{thing}s"), facts.result_split
    shown = _evidence(facts, f"{thing}_chosen_on", f"{thing}s", "result_split")
    if tried == 1 or chosen == "nothing":
        yield PASSED, f"The quoted accuracy was not picked among several {thing}s.", shown
    elif chosen is None or split is None:
        yield _not_checked(f"whether the quoted accuracy is the highest of several {thing}s is not known", shown)
    elif chosen == split:
        how_many = f"{tried:,} " if tried else "several "
        yield (
            WEAKENS,
            f"The quoted {split} accuracy is the highest of {how_many}{thing}s, chosen on the same images: the highest"
            " of many is partly due to chance, and new images tend to give less.",
            shown,
        )
    else:
        yield (
            PASSED,
            f"The {thing} was chosen on the {chosen} images, the accuracy measured on the {split} ones.",
            shown,
        )


def _highest_test_quoted(facts: Protocol) -> Iterator[Verdict]:
    """Several evaluations of a run are one configuration; `_test_read_again` counts the evaluations."""
    shown = _evidence(facts, "tested", "highest_on_test", "highest_on_validation")
    by_validation = facts.highest_on_validation if facts.highest_on_test else True
    if facts.tested == 1:
        yield PASSED, "No other configuration was measured on these test images.", shown
    elif None in (facts.tested, facts.highest_on_test, by_validation):
        yield _not_checked("whether it is the best of several by its accuracy on the test images is not known", shown)
    elif facts.highest_on_test and not facts.highest_on_validation:
        yield (
            WEAKENS,
            f"Of {facts.tested:,} configurations measured on the same test images, it has the highest test accuracy,"
            " but not the highest validation accuracy: quoted as the best, it is chosen on the test images, and the"
            " highest"
            " of several accuracies is partly due to chance.",
            shown,
        )
    else:
        how = "it is also the best on validation" if facts.highest_on_test else "another has a higher test accuracy"
        yield PASSED, f"It is not the best of {facts.tested:,} by its test accuracy only: {how}.", shown


def _no_validation(facts: Protocol) -> Iterator[Verdict]:
    shown = _evidence(facts, "validation_images")
    if facts.validation_images is None:
        yield _not_checked("whether images were held back for validation is not known", shown)
    elif facts.validation_images:
        yield PASSED, f"{facts.validation_images:,} images were held back to choose on.", shown
    else:
        nothing_chosen = facts.epoch_chosen_on == "nothing" and facts.configurations == 1
        yield (
            NOTE if nothing_chosen else WEAKENS,
            "There is no validation split: the epoch, the learning rate and the network could only be chosen on the"
            " training or the test images.",
            shown,
        )


def _check_value(
    fact: str, good: object, *, unknown: str, right: str, severity: str, wrong: str
) -> Callable[[Protocol], Iterator[Verdict]]:
    """The check of a fact with one good value; {} in the sentence `wrong` is replaced by the actual value."""

    def check(facts: Protocol) -> Iterator[Verdict]:
        value, shown = getattr(facts, fact), _evidence(facts, fact)
        if value is None:
            yield _not_checked(f"{unknown} is not known", shown)
        elif value == good:
            yield PASSED, right, shown
        else:
            yield severity, wrong.format(value), shown

    return check


_test_augmented = _check_value(
    "test_augmentation",
    "none",
    unknown="whether the evaluated images were changed at random",
    right="The images were evaluated unchanged, without random crops, flips or colours.",
    severity=WEAKENS,
    wrong="The evaluated images were changed at random ({}): the accuracy is that of other, often harder images, and"
    " another evaluation gives another number.",
)
_dropout_active = _check_value(
    "dropout_active",
    False,
    unknown="whether dropout was off during the evaluation",
    right="No random layer such as dropout was active during the evaluation.",
    severity=WEAKENS,
    wrong="Dropout (or another random layer) was active during the evaluation: parts of the network were switched off"
    " at random, so the accuracy is not that of the full network and changes from call to call.",
)
_batch_norm_training = _check_value(
    "batch_norm_training",
    False,
    unknown="whether batch norm was in inference mode during the evaluation",
    right="The prediction for an image did not depend on the other images of its batch.",
    severity=INVALIDATES,
    wrong="Batch norm was in training mode during the evaluation: the prediction for an image depends on the other"
    " images of its batch, so the accuracy changes with the batch size and the order.",
)
_fixed_training_mode = _check_value(
    "fixed_training_mode",
    "none",
    unknown="whether a layer always stays in training mode",
    right="No layer always stays in training mode.",
    severity=NOTE,
    wrong="The network keeps training mode in {}: predict() and training=False switch it off, but a plain"
    " model(images) gives predictions that depend on chance or on the other images.",
)


def _activation_on_logits(facts: Protocol) -> Iterator[Verdict]:
    name, shown = facts.output_activation, _evidence(facts, "output_activation")
    if name is None:
        yield _not_checked("whether the network ends in plain logits is not known", shown)
    elif name == "linear":
        yield PASSED, "The network ends in plain logits, as the loss expects.", shown
    else:
        effect = {
            "relu": "negative scores become 0, so classes tie, and a class at 0 for an image learns nothing from it",
            "softmax": "the loss then takes the softmax of probabilities, which cannot come close to certainty",
            "sigmoid": "the softmax of values between 0 and 1 cannot come close to certainty",
        }.get(name, "the softmax of the loss does not get the scores that the network computed")
        yield WEAKENS, f"The network ends in {name} instead of plain logits: {effect}.", shown


def _exact_duplicates(facts: Protocol) -> Iterator[Verdict]:
    shown = _evidence(facts, "ids_disjoint", "exact_duplicates", "exact_duplicates_in_test", "test_images")
    if facts.ids_disjoint is False:
        yield (
            INVALIDATES,
            "An image is in two splits by its name, so the network is tested on images that it was trained on.",
            shown,
        )
    elif facts.exact_duplicates is None:
        yield _not_checked("whether two splits contain identical images is not known", shown)
    elif facts.exact_duplicates == 0:
        yield PASSED, "No image has a pixel-identical copy in another split.", shown
    else:
        copies = _count(facts.exact_duplicates, "set") + " of identical images"
        yield *_copies(facts, facts.exact_duplicates_in_test, copies), shown


def _near_duplicates(facts: Protocol) -> Iterator[Verdict]:
    shown = _evidence(facts, "near_duplicates", "near_duplicates_in_test", "test_images")
    if facts.near_duplicates is None:
        yield _not_checked("whether two splits contain nearly identical images is not known", shown)
    elif facts.near_duplicates == 0:
        yield PASSED, "No image has a nearly identical image in another split.", shown
    else:
        copies = _count(facts.near_duplicates, "pair") + " of nearly identical images"
        yield *_copies(facts, facts.near_duplicates_in_test, copies), shown


def _copies(facts: Protocol, in_test: int | None, copies: str) -> tuple[str, str]:
    """Severity and sentence: invalid if the copies can change the test accuracy by more than half its interval."""
    if in_test == 0:
        return NOTE, f"{copies} across training and validation; no test image is among them."
    if in_test is None or not facts.test_images:
        return WEAKENS, f"{copies} across splits; their share of the test images is not known."
    share = in_test / facts.test_images
    interval = _interval(facts)
    beyond = interval is not None and share > (interval[1] - interval[0]) / 2
    return (
        INVALIDATES if beyond else WEAKENS,
        f"{copies} across splits: {in_test:,} of {facts.test_images:,} test images may have been memorised, which"
        f" can raise the test accuracy by up to {100 * share:.3g} points.",
    )


def _split_by_id_only(facts: Protocol) -> Iterator[Verdict]:
    shown = _evidence(facts, "ids_disjoint", "exact_duplicates", "near_duplicates")
    if facts.exact_duplicates is not None or facts.near_duplicates is not None:
        yield PASSED, "The splits were compared by their pixels, not only by names.", shown
    elif facts.ids_disjoint is None:
        yield _not_checked("whether the splits were compared at all is not known", shown)
    else:
        yield (
            WEAKENS,
            "The splits were compared only by the names of the images, not by their pixels: a photo stored under two"
            " names can be in the training and the test images without being noticed.",
            shown,
        )


def _class_average(facts: Protocol) -> Iterator[Verdict]:
    """The mean class accuracy, weighted by images, must equal the overall accuracy, up to rounding in print.

    A common rounding error of all class accuracies shifts their weighted mean by the same amount, so the tolerance does
    not depend on the number of classes.
    """
    tables = facts.class_accuracies or ()
    weighed = [table for table in tables if table.images is not None]
    fitting = [table for table in weighed if _agree(table)]
    source = _evidence(facts, "class_accuracies")
    for table in weighed:
        if table not in fitting:
            why = (
                "every class has the same number of images"
                if _balanced(table)
                else "weighted by the images of each class"
            )
            yield (
                INVALIDATES,
                f"{table.name}: the class accuracies average {_percent(_mean(table))}, the overall accuracy is given"
                f" as {_percent(table.overall)}; they must agree ({why}), so at least one of them is wrong.",
                (*_averaged(table), *source),
            )
    if fitting:
        shown = tuple(line for table in fitting for line in _averaged(table))
        yield PASSED, "The mean of the class accuracies is the overall accuracy.", (*shown, *source)
    for table in tables:
        if table.images is None:
            yield _not_checked(f"{table.name}: the number of images of each class is not known", source)
    if not tables:
        yield _not_checked("no class accuracies are known", ())


def _slack(unit: float, subtracted_unit: float) -> tuple[float, float]:
    """The range of the difference between two printed forms of one number: the first minus the second.

    The true value of a printed number is up to half a unit less (rounded up) or up to a unit more (truncated, as `%d`
    does). A unit is the value of the last digit, 0 for an unrounded number.
    """
    return -(unit + subtracted_unit / 2) - _EXACT, unit / 2 + subtracted_unit + _EXACT


def _agree(table: ClassAccuracies) -> bool:
    low, high = _slack(table.overall_unit, table.unit)
    return low <= table.overall - _mean(table) <= high


def _mean(table: ClassAccuracies) -> float:
    images = table.images or ()
    return math.fsum(a * n for a, n in zip(table.accuracies, images, strict=True)) / sum(images)


def _balanced(table: ClassAccuracies) -> bool:
    return len(set(table.images or ())) == 1


def _averaged(table: ClassAccuracies) -> tuple[str, ...]:
    counts = f"{(table.images or (0,))[0]:,} images each" if _balanced(table) else "weighted by their images"
    low, high = _slack(table.overall_unit, table.unit)
    return (
        f"{table.name}: {len(table.accuracies)} class accuracies, {counts}, average {_percent(_mean(table))}; overall"
        f" {_percent(table.overall)}, {100 * (table.overall - _mean(table)):+.2f} points; rounding in print explains"
        f" {100 * low:+.3f} to {100 * high:+.3f}",
    )


def _contradicted(facts: Protocol) -> Iterator[Verdict]:
    numbers, source = facts.quoted or (), _evidence(facts, "quoted")
    following = [number for number in numbers if _is_consistent(number)]
    for number in numbers:
        if number not in following:
            what = number.what[:1].upper() + number.what[1:]
            reason = f" ({number.because})" if number.because else ""
            yield (
                WEAKENS,
                f"{what} is quoted as {_number(number.quoted)}, but its own data give"
                f" {_number(number.recomputed)}{reason}.",
                (_recomputed(number), *source),
            )
    if following:
        shown = (*map(_recomputed, following), *source)
        count = _count(len(following), "quoted number")
        yield PASSED, f"Recomputed from their own data: {count}, none contradicted.", shown
    if not numbers:
        yield _not_checked("no quoted number was recomputed", ())


def _is_consistent(number: Quoted) -> bool:
    low, high = _slack(0.0, number.unit)
    return low <= number.recomputed - number.quoted <= high


def _recomputed(number: Quoted) -> str:
    return f"{number.what}: quoted {_number(number.quoted)}, recomputed {_number(number.recomputed)}"


def _one_seed(facts: Protocol) -> Iterator[Verdict]:
    shown = _evidence(facts, "seeds", "configurations")
    if facts.seeds is None:
        yield _not_checked("the number of seeds that the network was trained with is not known", shown)
    elif facts.seeds > 1:
        yield PASSED, f"The network was trained with {facts.seeds:,} seeds.", shown
    else:
        comparing = facts.configurations is not None and facts.configurations > 1
        yield (
            WEAKENS if comparing else NOTE,
            "Each network was trained with one seed: the effect of another seed is not known, so a difference"
            + (" between the compared networks may be chance." if comparing else " to another network may be chance."),
            shown,
        )


def _no_interval(facts: Protocol) -> Iterator[Verdict]:
    shown, interval = _evidence(facts, "accuracy", "test_images", "has_interval"), _interval(facts)
    if facts.has_interval is None:
        yield _not_checked("whether the accuracy is quoted with an interval is not known", shown)
    elif facts.has_interval:
        yield PASSED, "The accuracy is quoted with an interval.", shown
    else:
        images = f"{facts.test_images:,} test images" if facts.test_images else "the test images"
        reach = f": here from {_percent(interval[0])} to {_percent(interval[1])} (Wilson, 95 %)" if interval else ""
        yield (
            WEAKENS,
            f"The accuracy is quoted without an interval, although the choice of {images} makes it uncertain{reach}.",
            shown,
        )


def _test_read_again(facts: Protocol) -> Iterator[Verdict]:
    times, shown = facts.test_readings, _evidence(facts, "test_readings")
    if times is None:
        yield _not_checked("how often the test images were read is not known", shown)
    elif times > 1:
        yield (
            NOTE,
            f"The test split was read {times:,} times: every reading is an opportunity to choose by it, so the accuracy"
            " is valid only if nothing was changed after a reading.",
            shown,
        )
    else:
        yield PASSED, "The test split was read once." if times else "The test split has not been read yet.", shown


CHECKS: dict[str, Callable[[Protocol], Iterator[Verdict]]] = {
    "epoch-chosen-on-test": lambda facts: _chosen_on_test(facts, "epoch"),
    "configuration-chosen-on-test": lambda facts: _chosen_on_test(facts, "configuration"),
    "highest-test-accuracy-quoted": _highest_test_quoted,
    "no-validation-split": _no_validation,
    "best-epoch-quoted": lambda facts: _best_quoted(facts, "epoch"),
    "best-configuration-quoted": lambda facts: _best_quoted(facts, "configuration"),
    "test-images-augmented": _test_augmented,
    "dropout-while-evaluating": _dropout_active,
    "batch-norm-in-training-mode": _batch_norm_training,
    "training-mode-fixed": _fixed_training_mode,
    "activation-on-logits": _activation_on_logits,
    "duplicates-across-splits": _exact_duplicates,
    "near-duplicates-across-splits": _near_duplicates,
    "split-compared-by-id-only": _split_by_id_only,
    "class-average-contradicts-overall": _class_average,
    "quoted-number-contradicted": _contradicted,
    "test-split-read-again": _test_read_again,
    "one-seed": _one_seed,
    "no-interval": _no_interval,
}
FLAWS = tuple(CHECKS)  # keys of the checks, in the order of a checklist


def _not_checked(why: str, shown: tuple[str, ...]) -> Verdict:
    return UNKNOWN, f"Not checked: {why}.", shown


def _evidence(facts: Protocol, *names: str) -> tuple[str, ...]:
    """The known facts among `names`, with their sources."""
    lines = []
    for name in names:
        value, source = getattr(facts, name), facts.sources.get(name)
        if name in ("class_accuracies", "quoted"):
            lines += [source] if source else []
        elif value is not None:
            lines.append(f"{name.replace('_', ' ')}: {_shown(value)}" + (f" ({source})" if source else ""))
    return tuple(lines)


def _shown(value: bool | float | str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else _number(value)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _interval(facts: Protocol) -> tuple[float, float] | None:
    """Wilson's interval of the test accuracy; None where it is unknown."""
    if facts.accuracy is None or not facts.test_images or facts.result_split != "test":
        return None
    return wilson(round(facts.accuracy * facts.test_images), facts.test_images)
