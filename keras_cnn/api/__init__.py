"""The functions and classes that `import keras_cnn` offers; only the names in `keras_cnn.__all__` are promised."""
