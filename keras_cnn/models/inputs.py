"""A model with another input: of a fixed size, or of another range of pixel values."""

import keras


def with_image_shape(model: keras.Model, shape: tuple[int | None, ...]) -> keras.Model:
    """The model for images of one shape, with the same layers and weights."""
    image = keras.Input(shape, dtype=model.inputs[0].dtype, name="image")
    return keras.Model(image, model(image), name=model.name)


def with_input_range(model: keras.Model, low: float, high: float) -> keras.Model:
    """The model after a layer that scales 0-255 to the range `low` to `high`."""
    image = keras.Input(model.inputs[0].shape[1:], name="image_0_255")
    scaled = keras.layers.Rescaling((high - low) / 255, offset=low, dtype="float32", name="input_range")(image)
    return keras.Model(image, model(scaled), name=model.name)
