"""Images from any source as a Dataset of three disjoint splits."""

from keras_cnn.data.dataset import Dataset, Split
from keras_cnn.data.image_files import ImageFile, ImageFiles
from keras_cnn.data.sources import load
from keras_cnn.data.splits import first_batch, split_record

__all__ = ["Dataset", "ImageFile", "ImageFiles", "Split", "first_batch", "load", "split_record"]
