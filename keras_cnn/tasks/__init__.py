"""The tasks of `keras_cnn.training`: one package per task, whose `task.prepare` makes a `training.task.Task`."""
