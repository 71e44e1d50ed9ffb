"""Volumes in the formats that laboratories have.

A new format is one class in a module of its own, which `register` enters, and the module's name here.
"""

from pipeline.volume.sources import zarr_array, chunked, wkw, folder, tiff, mrc, hdf5, npy, medical, gatan, packed  # noqa: F401, I001 - in this order
from pipeline.volume.sources.base import Format, Source
from pipeline.volume.sources.policy import STRANGER, TRUSTED, Limits, Policy
from pipeline.volume.sources.registry import FORMATS, open_source, register

__all__ = ["FORMATS", "STRANGER", "TRUSTED", "Format", "Limits", "Policy", "Source", "open_source", "register"]
