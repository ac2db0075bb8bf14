"""Object detection with Darknet's networks: YOLOv3 in Keras, for images, videos and cameras."""
