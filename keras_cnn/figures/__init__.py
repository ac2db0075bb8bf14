"""Figures that several parts of the package draw: arrays in, matplotlib figures out, without Keras or configs."""
