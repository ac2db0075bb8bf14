"""Classifying images that have no labels: what predicts, which images, and the table of the results."""
