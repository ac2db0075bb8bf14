"""Responses of all filters of net4 to a split in one pass, against one prediction of the same images.

python -m benchmarks.filters

Both read 10,000 images of 32 x 32 from memory, in the number format that training chooses here. The responses are
compiled anew on each call, as in a view. Keras predicts with autotune off, at the better of two batch sizes.
"""

from statistics import median

import keras
import numpy as np

from benchmarks.interleave import interleave, table
from benchmarks.prediction import stall_free
from keras_cnn import models
from keras_cnn.evaluation.predict import Predictor
from keras_cnn.training import precision
from keras_cnn.visualization.filters import Responding
from keras_cnn.visualization.passes import one_pass
from keras_cnn.visualization.probe import Probe

IMAGES, SAMPLE, BATCH, SHAPE = 10_000, 512, 256, (32, 32, 3)
OURS, OWN, KERAS = "filters: top images, means, dead", "keras_cnn's Predictor", "model.predict, stall-free"


def main(count: int = IMAGES, rounds: int = 3) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, *SHAPE), np.uint8)
    labels = generator.integers(0, 10, count)
    chosen = precision.choose_precision("auto", precision.hardware())
    precision.apply(0, chosen, "auto")
    model = models.build("net4", SHAPE, 10)
    keras.config.set_dtype_policy("float32")
    probe, predictor = Probe(model), Predictor(model)

    def batches() -> list:
        return [(images[i : i + BATCH], labels[i : i + BATCH]) for i in range(0, count, BATCH)]

    sizes = {size: _counted(stall_free(model, images[:SAMPLE], size)) for size in (128, 512)}
    rates = interleave(sizes, rounds=1)
    batch = max(rates, key=lambda size: median(rates[size]))
    contestants = {
        OURS: lambda: one_pass(probe, batches(), [Responding(probe)])[0][0].images,
        OWN: lambda: len(predictor.logits(batches())),
        KERAS: _counted(stall_free(model, images, batch)),
    }
    rates = interleave(contestants, rounds=rounds)
    print(f"all filters of net4 in {chosen} over {count:,} images; Keras's batch {batch}")
    print(table(rates, OURS, {}))
    for name in (KERAS, OWN):
        print(f"time of {OURS.split(':')[0]} over that of {name}: {median(rates[name]) / median(rates[OURS]):.2f}")
    print("target: at most 1.5 times model.predict")


def _counted(predict):
    return lambda: len(predict())


if __name__ == "__main__":
    main()
