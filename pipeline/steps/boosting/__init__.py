"""Boosting: the steps that make a capture finer in x and y, and those that see what it does to the segmentation."""
