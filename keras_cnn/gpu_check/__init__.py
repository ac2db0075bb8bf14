"""What `keras-cnn doctor --gpu` measures: a GPU against the processor, us against Keras, one GPU against two."""
