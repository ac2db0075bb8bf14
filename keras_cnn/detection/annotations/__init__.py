"""Images with boxes around their objects, as COCO, YOLO and Pascal VOC store them."""

from keras_cnn.detection.annotations.dataset import AnnotatedImage, BoxDataset
from keras_cnn.detection.annotations.sources import load

__all__ = ["AnnotatedImage", "BoxDataset", "load"]
