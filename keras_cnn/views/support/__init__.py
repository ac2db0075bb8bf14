"""What the views of `visualize.py` stand on: the opened network, its images, and the files that a view writes."""
