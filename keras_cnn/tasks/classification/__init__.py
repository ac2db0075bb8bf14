"""Training classifiers, from scratch or from pretrained weights."""
