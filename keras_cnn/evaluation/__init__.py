"""Evaluation of models: predictions, metrics with intervals, comparisons."""
