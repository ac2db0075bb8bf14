"""Reads PyTorch's .pth and .pt files, both formats, as NumPy arrays: without PyTorch and without running code in them.

A pickle is a program. Its instructions are scanned first, and only those that torch.save needs are allowed. Then it
runs in an unpickler that can make only plain values, ordered dictionaries, tensors, parameters and storages of five
number types. Every other global is rejected by name. The pickle cannot change the objects it gets: tuples, strings and
`_AllowedGlobal`. Numbers are read from the file after the pickle, within the bounds of their storage, without copies.
"""

import io
import math
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from keras_cnn.errors import InputError

MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of the format that torch.save wrote before version 1.6
PROTOCOL = 1001  # the second pickle
DTYPES = {  # every number is little-endian
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
}
# Instructions that make plain values, tuples, lists and dictionaries, memoize them, find a global, call it and set its
# state. Others make objects in other ways, or bytearrays, which crash CPython 3.11 if a file ends early.
OPCODES = {
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP", "NONE", "NEWTRUE", "NEWFALSE"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST", "APPEND", "APPENDS"),
    *("EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
    *("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"),
    *("GLOBAL", "STACK_GLOBAL", "BINPERSID", "REDUCE", "NEWOBJ", "BUILD"),
}
LARGEST_MEMO_INDEX = 1 << 24  # largest memo index: the unpickler allocates a table up to the highest index in a file
# What a damaged pickle or archive raises; MemoryError and OverflowError if it claims absurd sizes.
DAMAGE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    EOFError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    MemoryError,
    OverflowError,
    RuntimeError,
)


class Refused(Exception):
    """The file asks for something that a file of weights does not need."""


class Storage(NamedTuple):
    """A block of numbers elsewhere in the file."""

    key: str
    dtype: np.dtype
    size: int


class Tensor(NamedTuple):
    """A view into a storage, in elements; `array` makes it an array from the storage's bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self, data: bytes) -> np.ndarray:
        """The numbers, read-only. Raises Refused for a view beyond the storage."""
        numbers = [self.offset, *self.shape, *self.strides]
        if len(self.shape) != len(self.strides) or not all(type(n) is int and n >= 0 for n in numbers):
            raise Refused(f"a tensor of shape {self.shape} and strides {self.strides}")
        size = math.prod(self.shape)
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        # A view with more elements than its storage repeats some: weights never do, but an attack could fill memory.
        if size > self.storage.size or (size and last >= self.storage.size):
            raise Refused(f"a tensor of shape {self.shape} in a storage of {self.storage.size} numbers")
        flat = np.frombuffer(data, self.storage.dtype, self.storage.size)
        if not size:
            return np.empty(self.shape, flat.dtype)
        strides = [step * flat.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, strides, writeable=False)


class StateDict(dict):
    """Replaces collections.OrderedDict; attributes that a pickle sets on it are dropped."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        """Drops the state: its only entry is `_metadata`, the modules' versions."""


class _AllowedGlobal:
    """A global that a pickle may use: it can be called, and nothing can be set on it."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise Refused(f"an attribute {name!r} to be set")


def _tensor(storage: Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> Tensor:
    """Replaces torch._utils._rebuild_tensor and _rebuild_tensor_v2; gradients and hooks are dropped."""
    if not isinstance(storage, Storage):
        raise Refused("a tensor without a storage")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(data: Tensor, *_: Any) -> Tensor:
    return data


_GLOBALS = {
    ("collections", "OrderedDict"): _AllowedGlobal(StateDict),
    ("torch._utils", "_rebuild_tensor"): _AllowedGlobal(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _AllowedGlobal(_tensor),
    ("torch._utils", "_rebuild_parameter"): _AllowedGlobal(_parameter),
}


class _Unpickler(pickle.Unpickler):
    """An unpickler that resolves only `_GLOBALS` and the names of storages."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in DTYPES:
            return name
        if (module, name) not in _GLOBALS:
            raise Refused(f"{module}.{name}")
        return _GLOBALS[module, name]

    def persistent_load(self, reference: Any) -> Storage:
        kind, dtype, key, _, count, *view = reference
        if kind != "storage" or dtype not in DTYPES or type(count) is not int or count < 0 or any(view):
            raise Refused(f"a reference {kind!r} that is no storage of numbers")
        return self.storages.setdefault(str(key), Storage(str(key), DTYPES[dtype], count))


def _checked(file: BinaryIO) -> _Unpickler:
    """An unpickler of the next pickle in the file; the file's position is then after the pickle."""
    start = file.tell()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # from odd escapes in damaged text
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name not in OPCODES or (opcode.name.endswith("PUT") and (argument or 0) > LARGEST_MEMO_INDEX):
                raise Refused(f"the pickle instruction {opcode.name}")
    end = file.tell()
    file.seek(start)
    return _Unpickler(io.BytesIO(file.read(end - start)))


def read(path: Path) -> dict[str, Any]:
    """The nested dictionaries that `torch.save` wrote, with tensors as read-only arrays of their own type.

    Raises a one-line InputError for a file with other content (naming the global) and for a damaged or foreign file.
    """
    try:
        with path.open("rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            content = _read_zip(path, file) if is_zip else _read_legacy(file)
    except Refused as error:
        raise InputError(
            f"{path}: holds {error}, which is no weight and is not run; expected a state dict of tensors, as "
            "torch.save(model.state_dict(), FILE) writes it"
        ) from None
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{path}: no readable PyTorch file ({reason}); expected what torch.save wrote") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, expected a state dict of tensors")
    return content


def _read_zip(path: Path, file: BinaryIO) -> Any:
    with zipfile.ZipFile(file) as archive:
        folder = _folder(archive)
        for info in archive.infolist():
            # torch.save never compresses; an archive that unpacks beyond the file's size is not from it.
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > path.stat().st_size:
                raise Refused(f"compressed data in {info.filename!r}")
        order = f"{folder}/byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise Refused("numbers that are not little-endian")
        unpickler = _checked(io.BytesIO(archive.read(f"{folder}/data.pkl")))
        content = unpickler.load()
        data = {key: archive.read(f"{folder}/data/{key}") for key in unpickler.storages}
    return _with_arrays(content, data)


def _folder(archive: zipfile.ZipFile) -> str:
    """The one folder at the top of the archive that holds the pickle."""
    folders = [str(PurePosixPath(name).parent) for name in archive.namelist() if PurePosixPath(name).name == "data.pkl"]
    if len(folders) != 1 or any(PurePosixPath(name).name == "constants.pkl" for name in archive.namelist()):
        raise Refused("a program (TorchScript) or another archive" if folders else "an archive without data.pkl")
    return folders[0]


def _read_legacy(file: BinaryIO) -> Any:
    if _checked(file).load() != MAGIC or _checked(file).load() != PROTOCOL:
        raise ValueError("not PyTorch's magic number")
    machine = _checked(file).load()
    if not machine["little_endian"]:
        raise Refused("numbers that are not little-endian")
    unpickler = _checked(file)
    content = unpickler.load()
    data = {}
    for key in _checked(file).load():
        storage = unpickler.storages[key]
        count = int.from_bytes(file.read(8), "little")
        if count != storage.size:
            raise ValueError(f"storage {key} of {count} numbers, {storage.size} announced")
        data[key] = file.read(count * storage.dtype.itemsize)
    return _with_arrays(content, data)


def _with_arrays(content: Any, data: dict[str, bytes]) -> Any:
    """The nested dictionaries with every tensor replaced by an array; other values stay."""
    if isinstance(content, Tensor):
        return content.array(data[content.storage.key])
    if isinstance(content, dict):
        return {key: _with_arrays(value, data) for key, value in content.items()}
    return content


def tensors(content: dict[str, Any]) -> dict[str, np.ndarray]:
    """The state dict in a checkpoint, which may nest it under a key; a prefix common to all names is removed."""
    state = next(_state_dicts(content), {})
    for prefix in ("_orig_mod.", "module.", "model.", "_orig_mod."):
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): array for name, array in state.items()}
    return state


def _state_dicts(content: dict[str, Any]) -> Iterator[dict[str, np.ndarray]]:
    """The dictionaries of arrays: first the content itself, then those under the usual keys."""
    for inner in (content, *(content.get(key) for key in ("state_dict", "model_state_dict", "model", "net"))):
        if isinstance(inner, dict):
            arrays = {name: value for name, value in inner.items() if isinstance(value, np.ndarray)}
            if arrays and all(isinstance(name, str) for name in arrays):
                yield arrays
