"""How good a model is: predictions, metrics with their intervals, comparisons."""
