"""Numbers of a network that need no training: parameters, maps, receptive fields, multiply-adds."""

import functools

import keras

from keras_cnn import models
from keras_cnn.models import arithmetic
from reproduction.verdicts import Measured


@functools.cache
def built(name: str, classes: int = 10, side: int = 32, **options: float) -> keras.Model:
    """A network with random weights for RGB images of `side` pixels."""
    return models.build(name, (side, side, 3), classes, **options)


@functools.cache
def rows(name: str, classes: int = 10, side: int = 32, **options: float) -> tuple[arithmetic.LayerArithmetic, ...]:
    return tuple(arithmetic.table(built(name, classes, side, **options)))


def parameters(name: str, classes: int = 10, side: int = 32, **options: float) -> int:
    """The trainable parameters."""
    return arithmetic.totals(list(rows(name, classes, side, **options))).trainable


def convolutions(name: str, classes: int = 10, side: int = 32, **options: float) -> list[arithmetic.LayerArithmetic]:
    return [row for row in rows(name, classes, side, **options) if row.type == "Conv2D"]


def dense(name: str, classes: int = 10, side: int = 32, **options: float) -> list[arithmetic.LayerArithmetic]:
    return [row for row in rows(name, classes, side, **options) if row.type == "Dense"]


def computed(value: float, note: str = "") -> Measured:
    return Measured(float(value), "computed", note=note)


def recomputed(value: float, slack: float = 0.0, note: str = "") -> Measured:
    """A number that other printed numbers give, whose roundings can change it by `slack`."""
    return Measured(float(value), "recomputed", slack=slack, note=note)
