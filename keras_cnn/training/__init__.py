"""The training engine: the step, loop, session and resume that all tasks of `keras_cnn.tasks` share."""
