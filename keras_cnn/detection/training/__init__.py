"""Training YOLO networks on the user's boxes."""
