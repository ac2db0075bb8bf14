"""Updates of the weights of ResNet50's last stage by our optimizers, against Keras's own.

python -m benchmarks optimizers
"""

import keras
import tensorflow as tf

from benchmarks.interleave import interleave, table
from keras_cnn.config import OptimConfig
from keras_cnn.training.optimizers import build_optimizer

UPDATES = 20  # per round
PAIRS = {
    "adam": (keras.optimizers.Adam, {}),
    "sgd": (keras.optimizers.SGD, {"momentum": 0.9}),
}


def updating(optimizer: keras.optimizers.Optimizer, shapes: list[tuple[int, ...]]):
    """A round of updates of its own weights, with the same gradients each time."""
    variables = [keras.Variable(tf.zeros(shape)) for shape in shapes]
    gradients = [tf.random.stateless_normal(shape, (0, number)) for number, shape in enumerate(shapes)]
    optimizer.build(variables)
    update = tf.function(lambda: optimizer.apply(gradients, variables), autograph=False)

    def work() -> int:
        for _ in range(UPDATES):
            update()
        return UPDATES

    return work


def main() -> None:
    network = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(224, 224, 3))
    stage = [layer for layer in network.layers if layer.name.startswith("conv5")]
    shapes = [tuple(variable.shape) for layer in stage for variable in layer.trainable_variables]
    for name, (theirs, options) in PAIRS.items():
        contestants = {
            f"Keras's {name}": updating(theirs(**options), shapes),
            f"keras_cnn's {name}": updating(build_optimizer(OptimConfig(name, **options)), shapes),
        }
        print(table(interleave(contestants), f"Keras's {name}", {}).replace("images/s", "updates/s"))


if __name__ == "__main__":
    main()
