"""Arrays in, matplotlib figures out; no Keras and nothing of the rest of the package."""
