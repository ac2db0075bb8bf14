"""The command line of `keras-cnn doctor`: what this machine has, what is missing, and the line that mends it."""

from pathlib import Path

from keras_cnn.cli.parser import Parser
from keras_cnn.machine import as_text, machine_lines
from keras_cnn.messages import logger
from keras_cnn.tensorflow_import import import_tensorflow

EXAMPLES = """examples:
  keras-cnn doctor                 what this machine has, and how long a training step takes; half a minute
  keras-cnn doctor --gpu           measures the GPU: equal to the processor? how fast? at most five minutes
  keras-cnn doctor --gpu --on cpu  the same checks on the processor, with small sizes
"""


def main(arguments: list[str]) -> None:
    """`keras-cnn doctor`: see its --help."""
    parser = Parser(prog="keras-cnn doctor", description="Says what this machine has and lacks.", epilog=EXAMPLES)
    parser.add_argument("--gpu", action="store_true", help="measure the GPUs instead; writes gpu-check.json")
    parser.add_argument("--on", choices=("gpu", "cpu"), help="with --gpu: where to measure; default gpu")
    parser.add_argument("--json", type=Path, metavar="FILE", help="with --gpu: default gpu-check.json")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    chosen = parser.parse_args(arguments)
    if chosen.gpu:
        _check_gpu(chosen.on or "gpu", chosen.json or Path("gpu-check.json"))
        return
    if chosen.on or chosen.json:
        parser.error("--on and --json are for --gpu; expected --gpu with them")
    for line in machine_lines():
        logger.info(as_text(line))


def _check_gpu(on: str, file: Path) -> None:
    import_tensorflow()
    from keras_cnn.gpu_check import check

    check.run(on, file)
    logger.info(as_text(("all numbers", f"{file}, for a report of a bug")))
