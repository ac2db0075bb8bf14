"""The training engine: one step, one loop, one session and one resume for every task of `keras_cnn.tasks`."""
