"""Evaluation of classifiers of images that may have several labels."""
