"""`python detect.py`: what its arguments ask for."""

from pathlib import Path

from keras_cnn.command_line import Parser, import_tensorflow
from keras_cnn.errors import InputError

EXAMPLES = """examples:
  python detect.py photos/ --model yolov3-tiny                       every image of a folder, and those below
  python detect.py road.mp4 --model yolov3.cfg --weights yolov3.weights --count-line 0,400,1280,400
  python detect.py 0 --model yolov3-tiny --classes person --show     the first camera; q ends
  python detect.py rtsp://camera/stream --model yolov3-tiny --count-zone 100,300,500,300,600,700,50,700

Detections are Darknet's (threshold 0.25, suppression 0.45). The folder gets detections.csv, detections.json, the
annotated images or video, and of counting crossings.csv, counts.json and crossings.png.
"""


def main(arguments: list[str]) -> None:
    """`python detect.py`: see its --help."""
    parser = Parser(
        prog="python detect.py", description="Finds, follows and counts objects by YOLOv3.", epilog=EXAMPLES
    )
    parser.add_argument(
        "source", nargs="?", help="image, folder, glob in quotes, video, camera number or stream address"
    )
    parser.add_argument(
        "--model", required=True, metavar="CFG", help="Darknet cfg, yolov3, yolov3-tiny or a saved .keras"
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="Darknet weights of the cfg")
    parser.add_argument(
        "--names", type=Path, metavar="FILE", help="class names, one a line; default one beside the cfg"
    )
    parser.add_argument("--classes", default="", metavar="A,B", help="only these; when counting, default vehicles")
    line = "count what crosses this line, in pixels; may be given more than once"
    parser.add_argument("--count-line", action="append", default=[], metavar="X1,Y1,X2,Y2", help=line)
    zone = "count what enters and leaves this polygon; may be given more than once"
    parser.add_argument("--count-zone", action="append", default=[], metavar="X1,Y1,...", help=zone)
    parser.add_argument(
        "--size", metavar="N|WxH", help="size of the network's images, multiples of 32; default the cfg's"
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="float32 (default) equals Darknet; bfloat16 is about as good and faster where the hardware has it",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write; default detections/NAME")
    parser.add_argument("--save", type=Path, metavar="FILE.keras", help="keep the converted network; needs no source")
    parser.add_argument("--show", action="store_true", help="show the pictures in a window; q ends")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    chosen = parser.parse_args(arguments)
    if chosen.source is None and chosen.save is None:
        raise InputError("command line: no source given; expected an image, folder, video, camera number or address")
    import_tensorflow()  # takes seconds: --help and wrong options do without
    from keras_cnn.detection import session
    from keras_cnn.detection.counting import read_gate
    from keras_cnn.detection.network import open_network, save_network

    lines = [read_gate(text, f"line {n}", 2) for n, text in enumerate(chosen.count_line, 1)]
    zones = [read_gate(text, f"zone {n}", 3) for n, text in enumerate(chosen.count_zone, 1)]
    classes = tuple(name.strip() for name in chosen.classes.split(",") if name.strip())
    network = open_network(chosen.model, chosen.weights, chosen.names, _size(chosen.size))
    if chosen.save:
        save_network(network, chosen.save)
        print(f"network     saved as {chosen.save}")
    if chosen.source is not None:
        asked = session.Asked(classes, (*lines, *zones), chosen.precision, chosen.show)
        session.detect(chosen.source, network, asked, chosen.out)


def _size(text: str | None) -> tuple[int, int] | None:
    """Height and width from "416" or "608x352" (width first)."""
    if text is None:
        return None
    parts = text.split("x")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise InputError(f"--size: found {text!r}, expected a number, as 416, or width and height, as 608x352")
    return int(parts[-1]), int(parts[0])
