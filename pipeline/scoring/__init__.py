"""Exact scores of a segmentation: confusion matrices, F1 tables, confusion volumes, figures."""
