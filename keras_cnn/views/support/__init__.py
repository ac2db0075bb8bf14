"""What the views of `visualize.py` share: the opened network, its images, and the files that a view writes."""
