"""The validation of a training on boxes, divided among ranks."""

import dataclasses

import keras

from keras_cnn import config as config_module
from keras_cnn.tasks.detection.settings import BoxConfig
from keras_cnn.tasks.detection.task import DetectionPhase, prepare
from tests.ranks_in_threads import all_of, replicas_of_ranks


def test_ranks_that_read_parts_have_the_numbers_of_one_that_reads_all(tmp_path, small_cfg, rectangles):
    """Five batches, of which one rank reads two and the other three; the last has one image."""
    source = rectangles(tmp_path, {"train": 4, "val": 9, "test": 2})
    words = [f"--data.source=coco:{source}", "--data.image_size=64", f"--model.cfg={small_cfg}"]
    config = config_module.load(None, [*words, "--train.batch_size=2"], kind=BoxConfig)
    policy = keras.config.dtype_policy()
    try:
        setup = prepare(config, "float32").setup
        alone = DetectionPhase(setup).validate()
        with replicas_of_ranks(2) as replicas:
            phases = [DetectionPhase(dataclasses.replace(setup, replicas=each)) for each in replicas]
            assert all_of([phase.validate for phase in phases]) == [alone, alone]
    finally:
        keras.config.set_dtype_policy(policy)
    assert alone["val_loss"] > 1
