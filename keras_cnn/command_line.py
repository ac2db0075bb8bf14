"""What the faces share: splitting arguments from `--a.b VALUE` overrides, exit statuses, one line for every error."""

import argparse
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable

from keras_cnn.errors import DONE, STOPPED, WRONG_INPUT, InputError, Stopped
from keras_cnn.messages import show_messages

NOISE = (
    b"All log messages before absl",
    b"oneDNN custom operations",
    b"cuda drivers",
    b"cuInit",
    b"rebuild TensorFlow",
)


def run(main: Callable[[list[str]], None], arguments: list[str]) -> int:
    """Calls `main`; turns what it raises into a line on standard error and an exit status."""
    show_messages()
    debug = "--debug" in arguments
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C, wherever the program is
    try:
        main([a for a in arguments if a != "--debug"])
    except (InputError, Stopped) as error:
        if debug:
            traceback.print_exc()
        print(f"error: {error}" if isinstance(error, InputError) else error, file=sys.stderr)
        return WRONG_INPUT if isinstance(error, InputError) else STOPPED
    except KeyboardInterrupt:
        print("stopped by a signal", file=sys.stderr)
        return STOPPED
    finally:
        signal.signal(signal.SIGTERM, before)
    return DONE


def import_tensorflow(counts_devices: bool = True) -> None:
    """Imports TensorFlow and passes on what it writes to standard error, without its remarks about the machine.

    Counting the devices, of which it remarks too, settles which ones this process has. The lines come from C++ before
    any log level is read, so that no setting silences them.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors still come as exceptions
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            import tensorflow as tf

            if counts_devices:
                tf.config.list_physical_devices()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            caught.seek(0)
            for line in caught:
                if not any(words in line for words in NOISE):
                    os.write(2, line)


class Parser(argparse.ArgumentParser):
    """argparse that knows overrides from its own options and reports errors as InputError."""

    def __init__(self, **settings):
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings)
        self._own: set[str] = {"--help", "-h"}

    def option(self, name: str, **settings) -> None:
        self._own.add(name)
        self.add_argument(name, **settings)

    def error(self, message: str):
        raise InputError(f"command line: {message}")

    def split(self, arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
        """The face's own arguments, parsed, and the overrides `--a.b VALUE` or `--a.b=VALUE` left as they are."""
        own, overrides, rest = [], [], list(arguments)
        while rest:
            word = rest.pop(0)
            if not word.startswith("--") or word.partition("=")[0] in self._own:
                own.append(word)
                continue
            overrides.append(word)
            if "=" not in word and rest and not rest[0].startswith("--"):
                overrides.append(rest.pop(0))
        return self.parse_args(own), overrides
