"""Object detection with Darknet's networks: YOLOv3 in Keras, for images, videos and cameras."""

from keras_cnn.detection.darknet import load_darknet

__all__ = ["load_darknet"]
