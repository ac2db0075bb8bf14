"""Export of a trained classifier to files that other programs run: .keras, SavedModel, LiteRT and ONNX."""
