"""`train.batch_size: auto` and float16 of a training on boxes."""

import keras

from keras_cnn import config as config_module
from keras_cnn.models import arithmetic
from keras_cnn.tasks.detection.settings import BoxConfig
from keras_cnn.tasks.detection.task import DetectionPhase, prepare
from keras_cnn.training import batch_size


def test_the_largest_batch_that_fits_is_found_by_real_steps(tmp_path, small_cfg, rectangles, monkeypatch):
    """12 training images: 8 at most; the memory, which is simulated, is enough for 4."""
    source = rectangles(tmp_path, {"train": 12, "val": 2, "test": 2})
    sizes = []

    def growth(work):
        work()
        sizes.append(1)
        return float(len(sizes))

    monkeypatch.setattr(batch_size, "FIRST", 2)
    monkeypatch.setattr(batch_size, "memory_growth", growth)
    monkeypatch.setattr(batch_size, "available_memory", lambda: 2 * 2.5)  # the first step takes 1, the second 2
    words = [f"--data.source=coco:{source}", "--data.image_size=64", f"--model.cfg={small_cfg}"]
    words += ["--train.batch_size=auto", "--optim.optimizer=sgd", "--optim.learning_rate_batch=2"]
    policy = keras.config.dtype_policy()
    try:
        task = prepare(config_module.load(None, words, kind=BoxConfig))
    finally:
        keras.config.set_dtype_policy(policy)
    assert (task.config.train.batch_size, task.steps) == (4, 3)
    forward = arithmetic.record(task.setup.model)["totals"]["multiply_adds"]
    assert DetectionPhase(task.setup).multiply_adds(5) == 3 * forward * 5 * 12
    assert task.config.optim.learning_rate == 2e-3  # SGD: 1e-3 for 2 images, twice that for 4
    assert len(sizes) == 2


def test_float16_scales_the_loss(tmp_path, small_cfg, rectangles):
    source = rectangles(tmp_path, {"train": 4, "val": 2, "test": 2})
    words = [f"--data.source=coco:{source}", "--data.image_size=64", f"--model.cfg={small_cfg}"]
    config = config_module.load(None, [*words, "--train.batch_size=4"], kind=BoxConfig)
    policy = keras.config.dtype_policy()
    try:
        task = prepare(config, "mixed_float16")
        phase_run = task.start_phase(task.phases[0])
        assert isinstance(phase_run.trainer.optimizer, keras.optimizers.LossScaleOptimizer)
        losses = [float(phase_run.trainer.train_on(batch, 1e-3)[0]) for batch in phase_run.batches(0, 0, epochs=2)]
    finally:
        keras.config.set_dtype_policy(policy)
    assert len(losses) == 2
    assert all(0 < loss < 1e4 for loss in losses)
