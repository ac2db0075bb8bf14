"""The command line of `python detect.py`."""

import argparse
import functools
from pathlib import Path

from keras_cnn import config as config_module
from keras_cnn import run_folder
from keras_cnn.cli import early, folds, hosts, train
from keras_cnn.cli.parser import SHORT_NAMES, Parser
from keras_cnn.config.shipped import described, find_config
from keras_cnn.detection.named_models import NAMED, named_files
from keras_cnn.distribution.ranks import ALONE
from keras_cnn.errors import InputError
from keras_cnn.extras import require_extra
from keras_cnn.messages import counted, log_command, logger
from keras_cnn.tasks.detection.settings import BoxConfig
from keras_cnn.tensorflow_import import import_tensorflow

EXAMPLES = """examples:
  python detect.py photos/ --model yolov3-tiny                       every image of a folder, and those below
  python detect.py road.mp4 --model yolov3.cfg --weights yolov3.weights --count-line 0,400,1280,400
  python detect.py 0 --model yolov3-tiny --classes person --show     the first camera; q ends
  python detect.py rtsp://camera/stream --model yolov3-tiny --count-zone 100,300,500,300,600,700,50,700

training on boxes of your own:
  python detect.py --train --data.source coco:annotations/train.json --dry-run     what would be trained on what
  python detect.py --train boxes --data.source yolo:FOLDER --model.weights yolov3-tiny.weights
  python detect.py --train --data.source voc:VOC2012 --data.classes [car,bus,person] --train.epochs 30
  python detect.py --train --data.source yolo:FOLDER --folds 5       cross-validation: five runs
  python detect.py --resume runs/boxes                               goes on with it
  python detect.py photos/ --model runs/boxes                        detects with it

Detections are Darknet's (threshold 0.25, suppression 0.45). The folder gets detections.csv, detections.json, the
annotated images or video, and of counting crossings.csv, counts.json and crossings.png.
"""


def main(arguments: list[str]) -> None:
    """Runs `python detect.py`; see its --help."""
    parser = Parser(
        prog="python detect.py", description="Finds, follows and counts objects by YOLOv3.", epilog=EXAMPLES
    )
    parser.add_argument(
        "source", nargs="?", help="image, folder, glob in quotes, video, camera number or stream address"
    )
    model = "Darknet cfg, yolov3, yolov3-tiny, a saved .keras file or the run folder of a training"
    parser.option("--model", metavar="CFG", help=model)
    parser.option("--weights", type=Path, metavar="FILE", help="Darknet weights of the cfg")
    parser.option(
        "--names", type=Path, metavar="FILE", help="class names, one per line; default a .names file beside the cfg"
    )
    parser.option(
        "--classes", default="", metavar="A,B", help="only these classes; default all, or vehicles when counting"
    )
    line = "count the objects that cross this line, in pixels; may be given more than once"
    parser.option("--count-line", action="append", default=[], metavar="X1,Y1,X2,Y2", help=line)
    zone = "count the objects that enter and leave this polygon; may be given more than once"
    parser.option("--count-zone", action="append", default=[], metavar="X1,Y1,...", help=zone)
    parser.option("--size", metavar="N|WxH", help="size of the network's images, multiples of 32; default the cfg's")
    parser.option(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="float32 (default) equals Darknet; bfloat16 is nearly the same, and faster where the hardware has it",
    )
    parser.option("--out", type=Path, metavar="DIR", help="output folder; default detections/NAME")
    parser.option("--save", type=Path, metavar="FILE.keras", help="keep the converted network; needs no source")
    parser.option("--show", action="store_true", help="show the annotated images in a window; q ends")
    config = {"nargs": "?", "type": Path, "const": Path("boxes"), "metavar": "CONFIG"}
    parser.option("--train", **config, help="train on boxes; a YAML file or a config of the package; default: boxes")
    parser.option(
        "--run-dir", type=Path, metavar="DIR", help="run folder of --train; default runs/NAME, runs/NAME-2, ..."
    )
    resume = {"nargs": "?", "type": Path, "const": Path(), "metavar": "RUN"}
    parser.option("--resume", **resume, help="continue a training; default the last one")
    folds.add_options(parser, workers=True)
    hosts.add_options(parser)
    parser.option("--dry-run", action="store_true", help="with --train: print data, network and cost, and stop")
    parser.option("--options", action="store_true", help="list the fields of a training's config")
    parser.option("--debug", action="store_true", help="show the traceback of an error")
    short = {option: field for option, field in SHORT_NAMES.items() if option != "--model"}
    parser.fields(config_module.names(BoxConfig), short)
    chosen, overrides = parser.split(arguments)
    if chosen.train or chosen.resume or chosen.options:
        _train(chosen, overrides)
        return
    if chosen.folds is not None or chosen.workers is not None:
        raise InputError("command line: --folds and --workers are for a training; expected --train with them")
    if overrides:
        raise InputError(f"command line: unrecognized arguments: {overrides[0]}; fields of a config go with --train")
    if chosen.model is None:
        raise InputError("command line: the following arguments are required: --model")
    if chosen.source is None and chosen.save is None:
        raise InputError("command line: no source given; expected an image, folder, video, camera number or address")
    require_extra("video", "detection")
    if chosen.model in NAMED:
        named_files(chosen.model, chosen.weights)
    import_tensorflow()  # takes seconds; --help and wrong options do not need it
    from keras_cnn.detection import session
    from keras_cnn.detection.counting import read_gate
    from keras_cnn.detection.network import open_network, save_network

    lines = [read_gate(text, f"line {n}", 2) for n, text in enumerate(chosen.count_line, 1)]
    zones = [read_gate(text, f"zone {n}", 3) for n, text in enumerate(chosen.count_zone, 1)]
    classes = tuple(name.strip() for name in chosen.classes.split(",") if name.strip())
    network = open_network(chosen.model, chosen.weights, chosen.names, _size(chosen.size))
    if chosen.save:
        save_network(network, chosen.save)
        logger.info(f"network     saved as {chosen.save}")
    if chosen.source is not None:
        options = session.DetectOptions(classes, (*lines, *zones), chosen.precision, chosen.show)
        session.detect(chosen.source, network, options, chosen.out)


def _train(chosen: argparse.Namespace, overrides: list[str]) -> None:
    """Trains on boxes, or resumes a training on boxes."""
    if chosen.model is not None:  # of a training it is the field model.cfg
        overrides, chosen.model = ["--model.cfg", chosen.model, *overrides], None
    for name in ("source", "save"):
        if getattr(chosen, name) is not None:
            option = chosen.source if name == "source" else f"--{name}"
            raise InputError(
                f"command line: {option} is for detection; expected fields such as --data.source, --model.cfg"
            )
    if chosen.resume and (chosen.train or chosen.run_dir or chosen.dry_run):
        raise InputError("command line: --resume continues a run; --train, --run-dir and --dry-run do not fit it")
    if not chosen.resume and not chosen.options:
        chosen.train = find_config(chosen.train)
        early.check_config(chosen.train, overrides, BoxConfig)
        logger.info(f"config    {described(chosen.train)}")
    if folds.is_asked_for(chosen):
        folds.start(chosen, overrides, chosen.train, "detect", kind=BoxConfig)
        return
    if chosen.workers is not None:
        raise InputError("command line: --workers is for a cross-validation; expected --folds with it")
    ranks = ALONE if chosen.options or chosen.dry_run else hosts.join(chosen, "detect")
    import_tensorflow()
    from keras_cnn.tasks.detection.task import prepare
    from keras_cnn.training import experiment

    load, config = functools.partial(config_module.load, kind=BoxConfig), None
    if chosen.options:
        print(config_module.help_text(kind=BoxConfig))
        return
    if chosen.resume:
        chosen.config = None
        make = functools.partial(train.resumed, chosen, detecting=True)
    else:
        config = load(chosen.train, overrides)
        if chosen.dry_run:
            experiment.dry_run(config, prepare)
            return
        ranks.require_same(config_module.flat(config))
        make = functools.partial(run_folder.RunFolder.create, config.name, path=chosen.run_dir)
    with hosts.shared_folder(ranks, make, "detect") as folder:  # removed if wrong input leaves it unused
        config = config or train.own_config(folder, chosen, overrides, load)
        own = functools.partial(prepare, ranks=ranks)
        metrics = experiment.train(config, folder, own, other_devices=train.names_devices(overrides))
        if ranks.rank == 0:
            _conclude(metrics, folder.path)


def _conclude(metrics: dict, folder: Path) -> None:
    """Prints the folder of a finished run, its numbers, and the commands to continue with."""
    logger.info("")
    log_command("run folder", str(folder), "curves, precision over recall, images in figures/", 15)
    for label, name in (("test mAP@0.5", "map50"), ("@[.5:.95]", "map")):
        low, high = metrics[f"{name}_interval"]
        logger.info(f"{label:<15}{metrics[name]:.4f}  [{low:.4f}, {high:.4f}] 95 % bootstrap interval")
    logger.info(f"{'':<15}{counted(metrics['images'], 'image')}, {counted(metrics['boxes'], 'box', 'boxes')}")
    logger.info(f"best epoch     {metrics['best_epoch']} by {metrics['chosen_by']}")
    page = run_folder.shell_command("report", folder)
    log_command("next", page, "all of it on one page", 15)
    use = run_folder.shell_command("detect", "PHOTOS", "--model", folder)
    logger.info(f"               {use}")


def _size(text: str | None) -> tuple[int, int] | None:
    """Height and width from "416" or "608x352" (width first). InputError for any other text."""
    if text is None:
        return None
    parts = text.split("x")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise InputError(f"--size: found {text!r}, expected a number, as 416, or width and height, as 608x352")
    return int(parts[-1]), int(parts[0])
