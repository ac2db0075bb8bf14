import numpy as np
import pytest

from keras_cnn.data import pipeline
from keras_cnn.data.dataset import Split
from keras_cnn.distribution.shares import WHOLE, Share


@pytest.mark.parametrize(("replicas", "count"), [(2, 7), (4, 64), (3, 3), (4, 4)])
def test_the_parts_of_all_replicas_are_the_batch_in_order_and_at_most_one_image_apart(replicas, count):
    parts = [part for first in range(replicas) for part in Share(replicas, first).parts(count)]
    assert np.concatenate(parts).tolist() == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_batch_with_fewer_images_than_replicas_is_given_whole_to_each():
    assert [part.tolist() for part in Share(4, 0, 4).parts(3)] == [[0, 1, 2]] * 4


def test_a_part_begins_with_the_image_before_it_where_images_are_mixed():
    assert [part.tolist() for part in Share(2, 0, 2, overlap=True).parts(5)] == [[4, 0, 1], [1, 2, 3, 4]]
    assert [part.tolist() for part in Share(2, 1, 1, overlap=True).parts(1)] == [[0, 0]]


@pytest.mark.parametrize(("images", "size"), [(10, 4), (9, 4), (3, 8), (8, 4)])
def test_the_largest_batch_of_a_process(images, size):
    share = Share(4, 0, 4, overlap=True)
    sizes = [len(share.rows(min(size, images - start))) for start in range(0, images, size)]
    assert share.most_rows(images, size) == max(sizes)


def test_two_processes_read_the_batches_of_one_in_its_order():
    pixels = np.random.default_rng(0).integers(0, 256, (11, 4, 4, 1), np.uint8)
    split = Split(ids=tuple(f"i{i}" for i in range(11)), labels=np.arange(11), pixels=pixels)

    def read(share: Share) -> list[pipeline.Batch]:
        return list(pipeline.batches(split, (4, 4, 1), 4, seed=3, epochs=2, share=share))

    whole, first, second = read(WHOLE), read(Share(2, 0)), read(Share(2, 1))
    assert [int(batch.size) for batch in first] == [4, 4, 3] * 2
    for batch, *parts in zip(whole, first, second, strict=True):
        for name in ("images", "labels", "keys"):
            joined = np.concatenate([getattr(part, name) for part in parts])
            assert joined.tolist() == getattr(batch, name).numpy().tolist()
