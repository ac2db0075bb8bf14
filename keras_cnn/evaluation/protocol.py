"""The protocol audit: whether a result is valid, from facts about how it was obtained.

A `facts.Protocol` holds facts read from a run folder (`facts.facts_of`), measured on a model
(`model_checks.model_facts`) or taken from a published report. An unknown fact is None and never counts in favour of a
result: every check of CHECK_NAMES appears in `audit` (a flaw), in `passed` or in `unknown`.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from keras_cnn.evaluation.contradictions import class_average, contradicted
from keras_cnn.evaluation.facts import Protocol
from keras_cnn.evaluation.intervals import wilson
from keras_cnn.evaluation.verdicts import (
    INVALIDATES,
    NOTE,
    PASSED,
    SEVERITIES,
    UNKNOWN,
    WEAKENS,
    Check,
    Finding,
    Verdict,
    percent,
    written,
)
from keras_cnn.messages import counted


def _chosen_on_test(facts: Protocol, thing: str) -> Iterator[Verdict]:
    chosen, tried = getattr(facts, f"{thing}_chosen_on"), getattr(facts, f"{thing}s")
    if tried == 1:
        yield PASSED, f"There was only one {thing}, so none had to be chosen."
    elif chosen is None:
        yield UNKNOWN, f"on which images the {thing} was chosen is not known"
    elif chosen == "test":
        best_of = f"the best of {tried:,}" if tried else "the best of several"
        yield (
            INVALIDATES,
            f"The {thing} was chosen by its accuracy on the test images, so this accuracy is {best_of} on these images"
            " and too high for new ones.",
        )
    elif chosen == "nothing":
        yield PASSED, f"The {thing} was not chosen by any result."
    else:
        yield PASSED, f"The {thing} was chosen on the {chosen} images; the test images were not used for it."


def _best_quoted(facts: Protocol, thing: str) -> Iterator[Verdict]:
    chosen, tried, split = getattr(facts, f"{thing}_chosen_on"), getattr(facts, f"{thing}s"), facts.result_split
    if tried == 1 or chosen == "nothing":
        yield PASSED, f"The quoted accuracy was not picked among several {thing}s."
    elif chosen is None or split is None:
        yield UNKNOWN, f"whether the quoted accuracy is the highest of several {thing}s is not known"
    elif chosen == split:
        how_many = f"{tried:,} " if tried else "several "
        yield (
            WEAKENS,
            f"The quoted {split} accuracy is the highest of {how_many}{thing}s, chosen on the same images: the highest"
            " of many is partly due to chance, and new images tend to give less.",
        )
    else:
        yield (
            PASSED,
            f"The {thing} was chosen on the {chosen} images, the accuracy measured on the {split} ones.",
        )


def _highest_test_quoted(facts: Protocol) -> Iterator[Verdict]:
    """Several evaluations of a run are one configuration; `_test_read_again` counts the evaluations."""
    by_validation = facts.highest_on_validation if facts.highest_on_test else True
    if facts.tested == 1:
        yield PASSED, "No other configuration was measured on these test images."
    elif None in (facts.tested, facts.highest_on_test, by_validation):
        yield UNKNOWN, "whether it is the best of several by its accuracy on the test images is not known"
    elif facts.highest_on_test and not facts.highest_on_validation:
        yield (
            WEAKENS,
            f"Of {facts.tested:,} configurations measured on the same test images, it has the highest test accuracy,"
            " but not the highest validation accuracy: quoted as the best, it is chosen on the test images, and the"
            " highest"
            " of several accuracies is partly due to chance.",
        )
    else:
        how = "it is also the best on validation" if facts.highest_on_test else "another has a higher test accuracy"
        yield PASSED, f"It is not the best of {facts.tested:,} by its test accuracy only: {how}."


def _no_validation(facts: Protocol) -> Iterator[Verdict]:
    if facts.validation_images is None:
        yield UNKNOWN, "whether images were held back for validation is not known"
    elif facts.validation_images:
        yield PASSED, f"{facts.validation_images:,} images were held back to choose on."
    else:
        nothing_chosen = facts.epoch_chosen_on == "nothing" and facts.configurations == 1
        yield (
            NOTE if nothing_chosen else WEAKENS,
            "There is no validation split: the epoch, the learning rate and the network could only be chosen on the"
            " training or the test images.",
        )


def _check_value(fact: str, good: object, *, unknown: str, right: str, severity: str, wrong: str) -> Check:
    """The check of a fact with one good value; {} in the sentence `wrong` is replaced by the actual value."""

    def check(facts: Protocol) -> Iterator[Verdict]:
        value = getattr(facts, fact)
        if value is None:
            yield UNKNOWN, f"{unknown} is not known"
        elif value == good:
            yield PASSED, right
        else:
            yield severity, wrong.format(value)

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
    name = facts.output_activation
    if name is None:
        yield UNKNOWN, "whether the network ends in plain logits is not known"
    elif name == "linear":
        yield PASSED, "The network ends in plain logits, as the loss expects."
    else:
        effect = {
            "relu": "negative scores become 0, so classes tie, and a class at 0 for an image learns nothing from it",
            "softmax": "the loss then takes the softmax of probabilities, which cannot come close to certainty",
            "sigmoid": "the softmax of values between 0 and 1 cannot come close to certainty",
        }.get(name, "the softmax of the loss does not get the scores that the network computed")
        yield WEAKENS, f"The network ends in {name} instead of plain logits: {effect}."


def _exact_duplicates(facts: Protocol) -> Iterator[Verdict]:
    if facts.ids_disjoint is False:
        yield (
            INVALIDATES,
            "An image is in two splits by its name, so the network is tested on images that it was trained on.",
        )
    elif facts.exact_duplicates == 0:
        yield PASSED, "No image has a pixel-identical copy in another split."
    else:
        yield _copies(facts, facts.exact_duplicates, facts.exact_duplicates_in_test, "set", "identical images")


def _near_duplicates(facts: Protocol) -> Iterator[Verdict]:
    if facts.near_duplicates == 0:
        yield PASSED, "No image has a nearly identical image in another split."
    else:
        yield _copies(facts, facts.near_duplicates, facts.near_duplicates_in_test, "pair", "nearly identical images")


def _copies(facts: Protocol, groups: int | None, in_test: int | None, noun: str, alike: str) -> Verdict:
    """Invalid if the copies can change the test accuracy by more than half its interval."""
    if groups is None:
        return UNKNOWN, f"whether two splits contain {alike} is not known"
    copies = f"{counted(groups, noun)} of {alike}"
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


def _groups_across(facts: Protocol) -> Iterator[Verdict]:
    """Invalid if the images of known groups can change the test accuracy by more than half its interval."""
    if facts.groups_across is None:
        yield UNKNOWN, "whether images of one patient, site or burst are in two splits is not known: no data.group"
    elif facts.groups_across == 0:
        yield PASSED, f"Each of the {counted(facts.groups or 0, 'group')} of images is in one split."
    elif not facts.groups_in_test:
        yield NOTE, f"{counted(facts.groups_across, 'group')} across training and validation, none of them in test."
    else:
        share = facts.groups_in_test / facts.test_images if facts.test_images else 1.0
        interval = _interval(facts)
        beyond = interval is not None and share > (interval[1] - interval[0]) / 2
        yield (
            INVALIDATES if beyond else WEAKENS,
            f"{counted(facts.groups_across, 'group')} across splits: {counted(facts.groups_in_test, 'test image')} are"
            " of groups that the network was trained or chosen on, so the test accuracy is not that of new groups.",
        )


def _split_by_id_only(facts: Protocol) -> Iterator[Verdict]:
    if facts.exact_duplicates is not None or facts.near_duplicates is not None:
        yield PASSED, "The splits were compared by their pixels, not only by names."
    elif facts.ids_disjoint is None:
        yield UNKNOWN, "whether the splits were compared at all is not known"
    else:
        yield (
            WEAKENS,
            "The splits were compared only by the names of the images, not by their pixels: a photo stored under two"
            " names can be in the training and the test images without being noticed.",
        )


def _one_seed(facts: Protocol) -> Iterator[Verdict]:
    if facts.seeds is None:
        yield UNKNOWN, "the number of seeds that the network was trained with is not known"
    elif facts.seeds > 1:
        yield PASSED, f"The network was trained with {facts.seeds:,} seeds."
    else:
        comparing = facts.configurations is not None and facts.configurations > 1
        yield (
            WEAKENS if comparing else NOTE,
            "Each network was trained with one seed: the effect of another seed is not known, so a difference"
            + (" between the compared networks may be chance." if comparing else " to another network may be chance."),
        )


def _no_interval(facts: Protocol) -> Iterator[Verdict]:
    interval = _interval(facts)
    if facts.has_interval is None:
        yield UNKNOWN, "whether the accuracy is quoted with an interval is not known"
    elif facts.has_interval:
        yield PASSED, "The accuracy is quoted with an interval."
    else:
        images = f"{facts.test_images:,} test images" if facts.test_images else "the test images"
        reach = f": here from {percent(interval[0])} to {percent(interval[1])} (Wilson, 95 %)" if interval else ""
        yield (
            WEAKENS,
            f"The accuracy is quoted without an interval, although the choice of {images} makes it uncertain{reach}.",
        )


def _test_read_again(facts: Protocol) -> Iterator[Verdict]:
    times = facts.test_readings
    if times is None:
        yield UNKNOWN, "how often the test images were read is not known"
    elif times > 1:
        yield (
            NOTE,
            f"The test split was read {times:,} times; the accuracy is valid if nothing was chosen by an earlier"
            " reading.",
        )
    else:
        yield PASSED, "The test split was read once." if times else "The test split has not been read yet."


# Name -> the check, and the facts whose values and sources are its evidence; in the order of a checklist.
_CHECKS: dict[str, tuple[Check, tuple[str, ...]]] = {
    "epoch-chosen-on-test": (partial(_chosen_on_test, thing="epoch"), ("epoch_chosen_on", "epochs")),
    "configuration-chosen-on-test": (
        partial(_chosen_on_test, thing="configuration"),
        ("configuration_chosen_on", "configurations"),
    ),
    "highest-test-accuracy-quoted": (
        _highest_test_quoted,
        ("tested", "highest_on_test", "highest_on_validation"),
    ),
    "no-validation-split": (_no_validation, ("validation_images",)),
    "best-epoch-quoted": (partial(_best_quoted, thing="epoch"), ("epoch_chosen_on", "epochs", "result_split")),
    "best-configuration-quoted": (
        partial(_best_quoted, thing="configuration"),
        ("configuration_chosen_on", "configurations", "result_split"),
    ),
    "test-images-augmented": (_test_augmented, ("test_augmentation",)),
    "dropout-while-evaluating": (_dropout_active, ("dropout_active",)),
    "batch-norm-in-training-mode": (_batch_norm_training, ("batch_norm_training",)),
    "training-mode-fixed": (_fixed_training_mode, ("fixed_training_mode",)),
    "activation-on-logits": (_activation_on_logits, ("output_activation",)),
    "duplicates-across-splits": (
        _exact_duplicates,
        ("ids_disjoint", "exact_duplicates", "exact_duplicates_in_test", "test_images"),
    ),
    "near-duplicates-across-splits": (
        _near_duplicates,
        ("near_duplicates", "near_duplicates_in_test", "test_images"),
    ),
    "groups-across-splits": (_groups_across, ("groups", "groups_across", "groups_in_test", "test_images")),
    "split-compared-by-id-only": (_split_by_id_only, ("ids_disjoint", "exact_duplicates", "near_duplicates")),
    "class-average-contradicts-overall": (class_average, ("class_accuracies",)),
    "quoted-number-contradicted": (contradicted, ("quoted",)),
    "test-split-read-again": (_test_read_again, ("test_readings",)),
    "one-seed": (_one_seed, ("seeds", "configurations")),
    "no-interval": (_no_interval, ("accuracy", "test_images", "has_interval")),
}
CHECK_NAMES = tuple(_CHECKS)


def audit(facts: Protocol) -> list[Finding]:
    """The flaws, the worst first. Checks of unknown facts neither pass nor fail: see `unknown`."""
    flaws = [finding for finding in _findings(facts) if finding.severity in SEVERITIES]
    return sorted(flaws, key=lambda finding: SEVERITIES.index(finding.severity))


def passed(facts: Protocol) -> list[Finding]:
    """The checks that passed, with their evidence."""
    return [finding for finding in _findings(facts) if finding.severity == PASSED]


def unknown(facts: Protocol) -> list[Finding]:
    """The checks that could not be made because facts are unknown."""
    return [finding for finding in _findings(facts) if finding.severity == UNKNOWN]


def _findings(facts: Protocol) -> Iterator[Finding]:
    for name, (check, of) in _CHECKS.items():
        for severity, sentence, *evidence in check(facts):
            sentence = f"Not checked: {sentence}." if severity == UNKNOWN else sentence
            yield Finding(name, severity, sentence, (*evidence, *_evidence(facts, of)))


def _evidence(facts: Protocol, names: Sequence[str]) -> tuple[str, ...]:
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
    return value if isinstance(value, str) else written(value)


def _interval(facts: Protocol) -> tuple[float, float] | None:
    """Wilson's interval of the test accuracy; None where it is unknown."""
    if facts.accuracy is None or not facts.test_images or facts.result_split != "test":
        return None
    return wilson(round(facts.accuracy * facts.test_images), facts.test_images)
