"""Shards: many images in one file (tar with WebDataset's naming, ArrayRecord), here or in a remote store."""
