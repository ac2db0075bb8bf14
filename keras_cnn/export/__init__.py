"""A trained classifier as files that other programs run: .keras, SavedModel, LiteRT and ONNX."""
