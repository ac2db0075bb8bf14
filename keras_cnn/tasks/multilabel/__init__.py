"""Training classifiers of images that may have several labels, each with a sigmoid of its own."""
