"""Training YOLO detectors on annotated boxes."""
