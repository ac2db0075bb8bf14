"""What a network looks at: functions from a model and arrays to arrays. They do not change the model."""
