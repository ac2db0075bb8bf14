"""Trains ResNet8 on six classes of the embedded fashion-mini and writes keras_cnn/models/shipped/resnet8_fashion.keras.

    python scripts/pretrain_resnet8.py [FOLDER OF THE RUN]

The other four classes are left for fine-tuning: they are the source `fashion-new`. The images are Zalando's
Fashion-MNIST, MIT licence; so are these weights. The file is the run's best model by validation accuracy, without its
head, in float32.
"""

import sys
from pathlib import Path

import keras

from keras_cnn.cli import program, train
from keras_cnn.models import backbones
from keras_cnn.models.weights import FASHION, SHIPPED, load_weights

SETTINGS = [
    "--model.name=resnet8",
    "--model.weights=none",
    "--data.source=fashion-base",
    "--data.augment.name=fashion",
    "--data.augment.pad_crop=2",
    "--optim.optimizer=adamw",
    "--optim.learning_rate=5e-3",
    "--optim.weight_decay=0.05",
    "--optim.schedule=one_cycle",
    "--train.epochs=20",
    "--train.batch_size=64",
    "--precision=float32",
    "--tracking.wandb=off",
]


def main() -> int:
    run = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/resnet8_fashion")
    if status := program.run(train.main, [*SETTINGS, "--run-dir", str(run)]):
        return status
    keras.config.set_dtype_policy("float32")
    model = backbones.backbone("resnet8", (28, 28, 1), weights="none")
    load_weights(model, run / "model.keras")
    SHIPPED.mkdir(exist_ok=True)
    path = SHIPPED / f"resnet8_{FASHION}.keras"
    model.save(path)
    print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
