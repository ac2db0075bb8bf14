"""Reads .safetensors as arrays."""

from pathlib import Path

import ml_dtypes
import numpy as np
import safetensors

from keras_cnn.errors import InputError

DTYPES = {  # the format is little-endian
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
}


def read(path: Path) -> dict[str, np.ndarray]:
    """Tensors by name. Raises a one-line InputError for a damaged file and for a number type not in DTYPES."""
    try:
        tensors = safetensors.deserialize(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise InputError(f"{path}: no readable safetensors file ({' '.join(str(error).split())[:120]})") from None
    for name, tensor in tensors:
        if tensor["dtype"] not in DTYPES:
            raise InputError(f"{path}: {name}: numbers of type {tensor['dtype']}, expected one of {', '.join(DTYPES)}")
    return {name: np.frombuffer(t["data"], DTYPES[t["dtype"]]).reshape(t["shape"]) for name, t in tensors}
