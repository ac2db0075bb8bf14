"""What `keras_cnn.training` can train: a package per task, whose `task.prepare` makes a `training.task.Task`."""
