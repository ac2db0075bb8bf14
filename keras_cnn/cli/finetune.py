"""The command line of `python finetune.py`: training as in `train.py`, but from a pretrained network."""

import argparse
from pathlib import Path

from keras_cnn import config as config_module
from keras_cnn.cli import compare, early, folds, probe
from keras_cnn.cli.parser import Parser
from keras_cnn.cli.train import add_config, add_options, find_chosen_config, photos_named, start, start_folds
from keras_cnn.config import Config
from keras_cnn.errors import InputError
from keras_cnn.tensorflow_import import import_tensorflow

EXAMPLES = """examples:
  python finetune.py --freeze-upto layer1                      what pretraining buys, on images of the package
  python finetune.py photos/ --backbone mobilenetv2            the head alone; one folder a class
  python finetune.py photos/ --backbone xception --freeze-upto block10 --dry-run
  python finetune.py photos/ --backbone resnet50 --unfreeze-last 3 --weights resnet50.pth
  python finetune.py photos/ --freeze-upto 0 --finetune.strategy gradual
  python finetune.py photos/ --probe                           which backbone? all with weights at hand, untrained
  python finetune.py --compare quick                           recipes, with seeds and intervals
  python finetune.py photos/ --folds 5                          cross-validation: five runs
  python finetune.py --export runs/finetune --formats litert,onnx
  python finetune.py --resume                                  goes on with the last unfinished run
"""


def main(arguments: list[str]) -> None:
    """`python finetune.py`: see its --help."""
    parser = Parser(prog="python finetune.py", description="Fine-tunes a pretrained network.", epilog=EXAMPLES)
    add_config(parser, "finetune")
    parser.option("--backbone", metavar="NAME", help="a network of keras.applications, or alexnet, resnet18, ...")
    parser.option("--weights", metavar="W", help="imagenet, none, or a file (.keras, .h5, .safetensors, .pth)")
    parser.option(
        "--freeze-upto",
        metavar="K",
        help="freeze a stage or layer and all before it; or K layers with weights from the input, all but K if below 0;"
        " or all: train the head alone",
    )
    parser.option("--unfreeze-last", type=int, metavar="K", help="train the last K layers with weights, and the head")
    add_options(parser, resumes="a run or a comparison", shows="data, what is frozen, and cost")
    folds.add_options(parser, workers=False)
    compare.add_options(parser)
    probe.add_options(parser)
    parser.option("--export", type=Path, metavar="RUN", help="write a finished run's model for other programs")
    parser.option(
        "--formats",
        metavar="F,...",
        help="of --export: keras, savedmodel, litert, onnx, litert-int8; default: all but litert-int8",
    )
    parser.fields(config_module.names())
    chosen, overrides = parser.split(arguments)
    if chosen.export or chosen.formats:
        _export(chosen, overrides)
        return
    if _names_nothing(chosen, overrides):
        compare.demonstrate(chosen, overrides)
        return
    if chosen.probe is not None:
        if chosen.folds is not None:
            raise InputError("command line: --folds does not fit --probe; expected one of them")
        overrides = early.with_sources([*photos_named(chosen, overrides), *overrides])
        find_chosen_config(chosen)
        probe.main(chosen, overrides)
        return
    overrides = early.with_sources([*photos_named(chosen, overrides), *_as_overrides(chosen), *overrides])
    find_chosen_config(chosen)
    if folds.is_asked_for(chosen):
        start_folds(chosen, overrides, "finetune", check=_require_backbone)
        return
    if compare.is_asked_for(chosen):
        compare.main(chosen, overrides)
        return
    start(chosen, overrides, "finetune", check=_require_backbone)


def _names_nothing(chosen: argparse.Namespace, overrides: list[str]) -> bool:
    """Whether the command names neither a config, images nor a network, and asks for nothing else than fine-tuning."""
    named = [chosen.config, chosen.named_config, chosen.backbone, chosen.weights, chosen.unfreeze_last]
    named += [chosen.resume, chosen.compare, chosen.probe, chosen.folds]
    other = [chosen.find_learning_rate, chosen.overfit_batch, chosen.options]
    fields = {word.partition("=")[0] for word in overrides}
    return named == [None] * len(named) and not any(other) and not fields & {"--data.source", "--model.name"}


def _require_backbone(config: Config) -> None:
    from keras_cnn.loading import require_backbone  # imports TensorFlow

    require_backbone(config)


def _export(chosen: argparse.Namespace, overrides: list[str]) -> None:
    if chosen.export is None:
        raise InputError("command line: --formats is for --export; expected --export RUN with it")
    if overrides:
        raise InputError(f"command line: {overrides[0]}: --export takes the run as it is; expected no settings")
    early.check_run(chosen.export)
    import_tensorflow()
    from keras_cnn.export import exports
    from keras_cnn.export.run import export_run

    export_run(chosen.export, chosen.formats.split(",") if chosen.formats else list(exports.FORMATS))


def _as_overrides(chosen: argparse.Namespace) -> list[str]:
    """Translates this program's own options (--backbone, --freeze-upto, ...) into overrides of config fields."""
    freeze = chosen.freeze_upto
    if chosen.unfreeze_last is not None:
        if freeze is not None:
            raise InputError("command line: --freeze-upto and --unfreeze-last: expected one of them")
        if chosen.unfreeze_last < 0:
            raise InputError(f"command line: --unfreeze-last {chosen.unfreeze_last}: expected a number of at least 0")
        freeze = -chosen.unfreeze_last or "all"
    given = {"model.name": chosen.backbone, "model.weights": chosen.weights, "finetune.freeze_upto": freeze}
    return [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]
