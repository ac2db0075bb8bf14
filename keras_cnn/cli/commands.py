"""The command `keras-cnn`: a table of subcommands, each a module with `main(arguments)`, imported when it is called."""

import sys

DESCRIPTION = "A laboratory for image CNNs: train, sweep, fine-tune, measure and look inside."
COMMANDS = {  # subcommand, which is also the name of its module in this package: what it does
    "train": "trains a CNN from scratch",
    "finetune": "fine-tunes a pretrained network, compares recipes, exports a trained model",
    "evaluate": "measures trained runs, and compares them",
    "predict": "classifies images without labels, and writes submissions",
    "demo": "shows the classes of a picture that is dropped on a page, and why",
    "report": "writes one page about runs or a sweep",
    "visualize": "draws what a network looks at",
    "detect": "finds, follows and counts objects, and trains on boxes",
    "models": "lists the networks with size, published accuracy, licence and weights",
    "sweep": "tries many settings: starts, joins, resumes and finishes a sweep",
    "shards": "writes many images into few files, for large or remote data sets",
    "doctor": "says what this machine has, and what is missing",
}


def main(arguments: list[str] | None = None) -> int:
    """Runs `keras-cnn SUBCOMMAND ...` and returns the exit status; `arguments` default to those of the process."""
    try:
        from keras_cnn.cli.program import run

        name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
        if name in COMMANDS:
            return run(name, rest)
        return run(_outside_commands, [name])
    except KeyboardInterrupt:  # before the program's own handling of signals
        return 3


def _outside_commands(arguments: list[str]) -> None:
    """Answers --help and --version. InputError for an unknown subcommand."""
    (name,) = arguments
    if name in ("--help", "-h", "help"):
        print(_help())
    elif name == "--version":
        from importlib.metadata import version

        print(f"keras_cnn {version('keras_cnn')}")
    else:
        from keras_cnn.checking import nearest
        from keras_cnn.errors import InputError

        raise InputError(f"command line: {name!r} is no subcommand{nearest(name, COMMANDS)}")


def _help() -> str:
    width = max(map(len, COMMANDS)) + 2
    listed = "\n".join(f"  {name:<{width}}{summary}" for name, summary in COMMANDS.items())
    return (
        f"usage: keras-cnn SUBCOMMAND ...\n\n{DESCRIPTION}\n\nsubcommands:\n{listed}\n\n"
        "keras-cnn SUBCOMMAND --help shows the options of one; keras-cnn --version the version."
    )
