"""The conclusions in words of TDT4265, COMP5623, CS6910 and IN4310."""

import itertools
from collections.abc import Iterator

from keras_cnn.evaluation.intervals import mean_interval, welch_interval
from keras_cnn.models import arithmetic
from reproduction import evidence
from reproduction.claims import Claim, ClaimVerdict, Difference, between, larger, minus, over_seeds, similar
from reproduction.evidence import Runs
from reproduction.networks import convolutions, rows

NO_INATURALIST: tuple[ClaimVerdict, str] = ("cannot be tested", "iNaturalist-12K is not at hand")
NO_IMAGENET10: tuple[ClaimVerdict, str] = ("cannot be tested", "ImageNet10 is not at hand")
STAND_IN = "on enlarged CIFAR-10 as a stand-in"
NO_WEIGHTS: tuple[ClaimVerdict, str] = ("cannot be tested", "the pretrained weights are not at hand")

# CS6910, Part B, figure 1: validation accuracies of the printed runs.
FAMILIES = (0.794, 0.796, 0.784, 0.765, 0.744, 0.706, 0.816, 0.723, 0.734, 0.77, 0.796, 0.826, 0.766, 0.786, 0.793,
            0.585, 0.805, 0.807, 0.753, 0.76, 0.501)  # fmt: skip
OTHERS = (0.613, 0.22, 0.654, 0.756, 0.745, 0.100)  # squeezenet and vgg11; no run of alexnet is printed


def claims(runs: Runs) -> Iterator[Claim]:
    yield from _tdt4265(runs)
    yield from _comp5623(runs)
    yield from _cs6910()
    yield Claim(
        "IN4310",
        "Task 1",
        "SGD with a rate of 0.01 is the best of four",
        "cannot be tested",
        "the Intel scenes are not at hand",
    )
    yield Claim(
        "IN4310", "Task 1", "The three splits are disjoint", "cannot be tested", "the Intel scenes are not at hand"
    )
    yield Claim("IN4310", "Task 3", "The spectra of ImageNet and CIFAR-10 images differ (figures)", *NO_WEIGHTS)


def _tdt4265(runs: Runs) -> Iterator[Claim]:
    def claim(place: str, words: str, verdict: tuple[ClaimVerdict, str], difference=None, unit="points") -> Claim:
        return Claim("TDT4265", place, words, *verdict, difference, unit)

    final = evidence.last("val_accuracy")
    found = between(runs, "tdt4265.model1", "tdt4265.model2", final)
    yield claim("2.5 e)", "Model 1 raises the final validation accuracy over model 2", larger(found), found)
    found = between(runs, "tdt4265.model2", "tdt4265.lenet", evidence.last("test_accuracy"))
    yield claim(
        "Tables 1 and 3", "LeNet with batch norm and dropout (model 2) is better than LeNet", larger(found), found
    )
    costs = {name: arithmetic.totals(list(rows(name))).multiply_adds for name in ("model1", "model2")}
    finding = (
        f"{costs['model1']:,} multiply-adds an image of model 1, {costs['model2']:,} of model 2: model 1 is heavier"
    )
    ratio = Difference(costs["model2"] / costs["model1"] - 1, what="model 2 over model 1, exact")
    yield claim("2.5 e)", "Model 2 is more computationally heavy", ("does not hold", finding), ratio, "share")
    wide, narrow = len(convolutions("model1")), len(convolutions("model2"))
    finding = f"{wide} convolutions and {narrow}"
    yield claim(
        "2.5 e)", "Model 1 has two more convolutions", ("holds" if wide - narrow == 2 else "does not hold", finding)
    )
    model2, first = "tdt4265.model2", evidence.at("val_accuracy", 1)
    for words, variant, quantity in (
        ("Adam in place of SGD raises validation accuracy", "sgd", final),
        ("Batch norm makes training converge faster", "no_batch_norm", first),
        ("Dropout of 10 % raises validation accuracy", "no_dropout", final),
        ("Dropout of 30 % is worse than 10 %", "dropout0.3", final),
    ):
        found = between(runs, model2, f"{model2}.{variant}", quantity)
        yield claim("2.5 e)", words, larger(found), found)
    found = between(runs, f"{model2}.stride", model2, final)
    yield claim("2.5 e)", "Strides in place of pools give comparable results", similar(found), found)
    for words in (
        "The fine-tuned ResNet18 learns faster than model 1",
        "It converges to a lower validation loss than model 1",
        "Filter 11 of its first convolution answers to horizontal lines, filter 12 to vertical ones",
    ):
        yield claim("3", words, NO_WEIGHTS)


def _comp5623(runs: Runs) -> Iterator[Claim]:
    def claim(
        place: str, words: str, verdict: tuple[ClaimVerdict, str], difference: Difference | None = None, unit="points"
    ) -> Claim:
        return Claim("COMP5623", place, words, *verdict, difference, unit)

    for words, column, ends in (
        ("On one batch the training loss falls", "loss", (1, 30)),
        ("... while the validation loss rises", "val_loss", (30, 1)),
    ):
        change = minus(*(evidence.at(column, epoch) for epoch in ends))
        found = over_seeds(runs, "comp5623.single_batch", change, f"epoch {ends[0]} minus epoch {ends[1]}, {STAND_IN}")
        yield claim("1.1.1", words, larger(found), found, "nats")
    finding = "in its own log the validation loss is lowest at epoch 3 and the accuracy highest at epoch 5"
    yield claim("1.2.1", "The best number of epochs is 10", ("does not hold", finding))
    found = between(runs, "comp5623.tuned", "comp5623.full", evidence.last("val_accuracy"))
    verdict, finding = larger(found)
    yield claim(
        "1.2.2", "Augmentation and dropout raise validation accuracy", (verdict, f"{finding}, {STAND_IN}"), found
    )
    yield claim("1.2.2", "60 to 70 epochs would give more than 80 %", NO_IMAGENET10)
    yield claim("1.2.3", "Cats are taken for baboons more often than any other mistake", NO_IMAGENET10)
    layers = convolutions("alexnet", 1000, 224, weights="none")
    filters = [int(layer.output_shape[-1] or 0) for layer in layers]
    finding = f"filters of AlexNet by depth: {', '.join(map(str, filters))}"
    holds = min(filters) == filters[0]
    yield claim("2.2.2", "Early layers have fewer filters", ("holds" if holds else "does not hold", finding))
    falls = all(a > b for a, b in itertools.pairwise(filters))
    rises = all(a <= b for a, b in itertools.pairwise(filters))
    finding = f"{finding}; they {'rise' if rises else 'fall' if falls else 'rise and fall again'}"
    yield claim("2.2.2", "The number of filters increases with depth", ("holds" if rises else "does not hold", finding))
    yield claim("2.2.2", "Feature maps become sparser with depth", NO_WEIGHTS)


def _cs6910() -> Iterator[Claim]:
    def claim(place: str, words: str, verdict: tuple[ClaimVerdict, str], difference=None, unit="points") -> Claim:
        return Claim("CS6910", place, words, *verdict, difference, unit)

    for words in (
        "Doubling the filters from layer to layer works better than halving them",
        "Dropout of 50 % in the dense layers works better than less",
        "With many filters, large kernels such as 7 work better than small ones",
        "Batch norm after every layer works better than none",
        "Learning rates of 0.0001 or 0.0002 work better than 0.0004",
        "tanh reaches a higher accuracy in less time than ReLU and leaky ReLU",
        "More filters in all layers work better than fewer",
        "More neurons in the dense layer work better than fewer",
    ):
        yield claim("Part A, Ans 3", words, NO_INATURALIST)
    place = "Part B, Question 3"
    finding = "its own table: 4.798 and 6.743 minutes with every layer trained, 2.657 and 3.225 with the head alone"
    twice = Difference((4.798 / 2.657 + 6.743 / 3.225) / 2, what="times as long, mean of two networks")
    yield claim(place, "Training every layer takes almost half the time", ("does not hold", finding), twice, "times")
    gains = [0.823 - 0.747, 0.833 - 0.753]
    found = Difference(sum(gains) / 2, *mean_interval(gains), "of its table, 2 networks, one run each")
    yield claim(place, "Training every layer gives a higher validation accuracy than the head", larger(found), found)
    gains = [0.812 - 0.146, 0.819 - 0.139]
    found = Difference(sum(gains) / 2, *mean_interval(gains), "of its table, 2 networks, one run each")
    yield claim(
        place, "Pretrained weights give a far higher validation accuracy than random ones", larger(found), found
    )
    gains = [2.297 / 2.364 - 1, 2.733 / 2.723 - 1]
    found = Difference(sum(gains) / 2, *mean_interval(gains), "change of the minutes by pretrained weights, 2 networks")
    yield claim(place, "Pretrained or random weights take almost the same time", similar(found), found, "share")
    difference = sum(FAMILIES) / len(FAMILIES) - sum(OTHERS) / len(OTHERS)
    found = Difference(difference, *welch_interval(FAMILIES, OTHERS), "mean of 21 printed runs minus mean of 6")
    yield claim(
        place, "SqueezeNet and VGG11 are not as suitable as ResNet, Inception and DenseNet", larger(found), found
    )
    yield claim(place, "... nor is AlexNet", ("cannot be tested", "no run of AlexNet is printed"))
    finding = "one run each, of different settings"
    yield claim(
        place, "The last three layers of ResNet101 do better than its head or all of it", ("undecided", finding)
    )
    yield claim(place, "Validation accuracy hardly changes with more than 5 to 7 epochs", NO_INATURALIST)
    yield claim(place, "A huge pretrained network is better than a small one from scratch", NO_INATURALIST)
