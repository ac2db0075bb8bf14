"""What a network looks at: functions of a model and arrays that give arrays. Nothing of the model is changed."""
