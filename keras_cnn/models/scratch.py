"""Networks to train from scratch: the five-block CNN of the CS6910 sweep, and any sequential CNN from a table."""

import inspect
from collections.abc import Callable
from typing import get_args

import keras

from keras_cnn.checking import check_options, keyword_options, nearest
from keras_cnn.errors import InputError, require
from keras_cnn.models.blocks import Activation, Chain, Padding

Shape = tuple[int, int, int]


def five_block(
    input_shape: Shape,
    classes: int,
    *,
    filters: int = 32,
    kernel_size: int = 3,
    organisation: float = 2.0,
    activation: Activation = "relu",
    batch_norm: bool = True,
    dropout: float = 0.2,
    dense: int = 128,
    padding: Padding = "same",
) -> keras.Model:
    """Five blocks of convolution, batch norm, activation and 2×2 max pool, then a dense layer (CS6910, part A).

    Initialisation: He for the ReLU family, Glorot for tanh and sigmoid, LeCun for selu; `leaky_relu` has Keras's
    slope of 0.2.

    Options:
        filters: filters of the first convolution
        kernel_size: side of every kernel
        organisation: filters of a block over those of the block before: 2 doubles, 1 keeps, 0.5 halves
        activation: function after every convolution and the dense layer
        batch_norm: batch norm between convolution and activation
        dropout: share of the dense layer's outputs that training drops
        dense: units of the dense layer
        padding: same pads convolutions and pools, so that any image size works; valid is the report's
    """
    require(filters >= 1, "five_block: filters", f"found {filters}", "at least 1")
    widths = [int(filters * organisation**i) for i in range(5)]
    require(min(widths) >= 1, "five_block: organisation", f"{organisation} makes {widths} filters", "1 or more each")
    chain = Chain("five_block", input_shape, initializer=_initializer(activation))
    for width in widths:
        chain.conv(width, kernel=kernel_size, padding=padding)
        if batch_norm:
            chain.batch_norm()
        chain.activation(activation)
        chain.pool(padding=padding)
    chain.flatten()
    chain.dense(dense)
    chain.activation(activation)
    chain.dropout(dropout)
    return chain.model(classes)


def layers(input_shape: Shape, classes: int, *, table: list[dict]) -> keras.Model:
    """Any sequential CNN from a table, one layer per row, He initialisation; logits are added after the last row.

    A row names a layer, with its main number if it has one, and then its options:

        - {conv: 32, kernel: 5, stride: 1, padding: same, dilation: 1}
        - {bn: , momentum: 0.9, epsilon: 1.0e-5}
        - {relu: }        # or leaky_relu, tanh, sigmoid, elu, selu, gelu, silu, mish
        - {pool: 2, stride: 2, padding: valid}        # or avgpool
        - {pad: 1}
        - {spatial_dropout: 0.1}
        - {flatten: }     # or gap
        - {dense: 64}
        - {dropout: 0.5}

    Raises InputError with the number of the row, counted from 1, and the nearest valid key.

    Options:
        table: list of rows, from the image to the last layer before the logits
    """
    chain = Chain("layers", input_shape)
    for number, row in enumerate(table, start=1):
        chain.where = f"layers: table row {number}"
        _add_row(chain, row)
    chain.where = "layers"
    return chain.model(classes)


def _activation(function: Activation) -> Callable[[Chain], None]:
    def add(chain: Chain) -> None:
        chain.activation(function)

    return add


_ROWS: dict[str, Callable[..., None]] = {
    "conv": Chain.conv,
    "pad": Chain.pad,
    "bn": Chain.batch_norm,
    "pool": Chain.pool,
    "avgpool": Chain.average_pool,
    "gap": Chain.global_average_pool,
    "flatten": Chain.flatten,
    "dense": Chain.dense,
    "dropout": Chain.dropout,
    "spatial_dropout": Chain.spatial_dropout,
    **{name: _activation(name) for name in get_args(Activation)},
}


def _add_row(chain: Chain, row: dict) -> None:
    kind = _kind(chain.where, row)
    add, where = _ROWS[kind], f"{chain.where}: {kind}"
    options = {key: value for key, value in row.items() if key != kind}
    check_options(where, add, options, keyword_options(add))
    main = _main_parameter(add)
    if main is None:
        require(row[kind] is None, where, f"found {row[kind]!r}", "no value")
    elif row[kind] is not None:
        options[main] = row[kind]
        check_options(where, add, {main: row[kind]}, [main])
    else:
        check_options(where, add, {}, [main])
    add(chain, **options)


def _kind(where: str, row: dict) -> str:
    """The one key of the row that names a layer."""
    require(bool(row), where, "an empty row", "a layer such as {conv: 32, kernel: 5}")
    kinds = [key for key in row if key in _ROWS]
    require(len(kinds) < 2, where, f"layers {' and '.join(kinds)}", "one layer a row")
    if not kinds:
        first = next(iter(row))
        raise InputError(f"{where}: unknown layer {first!r}{nearest(first, _ROWS)}")
    return kinds[0]


def _main_parameter(add: Callable) -> str | None:
    """Name of the parameter that takes the value after the layer's name, if it has one."""
    positional = [p for p in inspect.signature(add).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    return positional[1].name if len(positional) > 1 else None


def _initializer(activation: str) -> Callable[[], keras.initializers.Initializer]:
    others = {
        "tanh": keras.initializers.GlorotUniform,
        "sigmoid": keras.initializers.GlorotUniform,
        "selu": keras.initializers.LecunNormal,
    }
    return others.get(activation, keras.initializers.HeUniform)
