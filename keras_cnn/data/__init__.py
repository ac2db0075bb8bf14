"""Images from any source as a Dataset of three disjoint splits."""

from keras_cnn.data.dataset import Dataset, ImageFile, Split
from keras_cnn.data.sources import load
from keras_cnn.data.splits import first_batch, split_record

__all__ = ["Dataset", "ImageFile", "Split", "first_batch", "load", "split_record"]
