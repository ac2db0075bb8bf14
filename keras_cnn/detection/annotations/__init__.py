"""Images with boxes around their objects, as COCO, YOLO and Pascal VOC write them down."""

from keras_cnn.detection.annotations.dataset import BoxDataset, Picture
from keras_cnn.detection.annotations.sources import load

__all__ = ["BoxDataset", "Picture", "load"]
