"""Benchmarks. TensorFlow gets the package's environment before any contestant imports it, so that all use oneDNN."""

from keras_cnn.tensorflow_import import set_environment

set_environment()
